// The persons of all albums, with questions about uncertain faces at the top.

import { element, plural } from "/cull/files/elements.js";
import { facePicture, photoAddress } from "./faces.js";

const cards = new WeakMap(); // existing cards, reused when searching or loading more persons

export function renderPersons(persons, search) {
  const words = search.toLowerCase().trim();
  const found = persons.filter(({ name }) => name.toLowerCase().includes(words));
  const shown = found.filter((person) => !person.ignored);
  const ignored = found.filter((person) => person.ignored);
  if (!found.length) return [empty("No people match", "Search for another name.")];
  return [
    element("ul", { class: "persons", "aria-label": "People" }, ...shown.map(card)),
    ...(ignored.length
      ? [
          element("h2", { class: "section", text: `Ignored: ${ignored.length}` }),
          element("ul", { class: "persons", "aria-label": "Ignored people" }, ...ignored.map(card)),
        ]
      : []),
  ];
}

function card(person) {
  if (!cards.has(person)) cards.set(person, makeCard(person));
  return cards.get(person);
}

function makeCard(person) {
  const who = person.name || "an unnamed person";
  return element(
    "li",
    { class: `person${person.ignored ? " ignored" : ""}`, "data-person": person.id, draggable: "true" },
    element(
      "a",
      { class: "open", href: `/people?${new URLSearchParams({ person: person.id })}`, draggable: "false", "aria-label": `Photos of ${who}` },
      facePicture(person.cover, ""),
    ),
    element("input", { value: person.name, placeholder: "Add a name", "aria-label": `Name of ${who}`, autocomplete: "off", maxlength: "200" }),
    element(
      "p",
      {},
      element("span", { class: "dim", text: plural(person.photos, "photo") }),
      ...(person.best?.run
        ? [element("a", { href: photoAddress(person.best), text: "best photo", "aria-label": `Best photo of ${who}` })]
        : []),
      ...(person.ignored ? [] : [star(person, who)]),
      ...(person.ignored || person.name
        ? []
        : [element("button", { type: "button", "data-do": "ignore", text: "ignore", "aria-label": `Ignore ${who}` })]),
    ),
  );
}

// The button that marks a person as important, or removes the mark.
export function star(person, who, words = "") {
  const action = person.important ? "not_important" : "important";
  const mark = `${person.important ? "★" : "☆"}${words}`;
  const title = "Score group shots by this person's face";
  return element("button", { type: "button", class: "star", "data-do": action, "aria-pressed": String(person.important), "aria-label": `Important: ${who}`, title, text: mark });
}

export function renderQuestions(questions) {
  if (!questions.length) return [];
  return [
    element(
      "section",
      { class: "help", "aria-labelledby": "help-title" },
      element("h2", { id: "help-title", text: "Needs your help" }),
      element("div", { class: "questions" }, ...questions.map(question)),
    ),
  ];
}

function question({ face, person, count }, index) {
  const about = count > 1 ? ` (${plural(count, "face")})` : "";
  return element(
    "div",
    { class: "question", role: "group", "aria-labelledby": `question-${index}`, "data-question": index },
    element("div", { class: "pair" }, facePicture(face, "The face in question"), facePicture(person.cover, person.name)),
    element("p", { id: `question-${index}`, text: `Is this ${person.name}?${about}` }),
    element("button", { type: "button", class: "strong", "data-answer": "yes", text: "Yes" }),
    element("button", { type: "button", "data-answer": "no", text: "No" }),
  );
}

export function empty(title, ...texts) {
  return element(
    "div",
    { class: "empty" },
    element("h2", { text: title }),
    ...texts.map((text) => (typeof text === "string" ? element("p", { text }) : text)),
  );
}
