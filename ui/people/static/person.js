// One person: all photos, filtered, with corrections of each face.

import { element, plural } from "/cull/files/elements.js";
import { facePicture, photoAddress } from "./faces.js";
import { star } from "./list.js";

const FILTERS = {
  all: ["All", () => true],
  solo: ["Solo", (face) => face.solo],
  others: ["With others", (face) => !face.solo],
  picks: ["Picks", (face) => face.picked],
};

export function renderPerson(person, persons, faces, filter) {
  const who = person.name || "this person";
  const [, passes] = FILTERS[filter] ?? FILTERS.all;
  const shown = faces.filter(passes);
  const others = persons.filter((one) => one.name && one.id !== person.id);
  return [
    element(
      "div",
      { class: "bar" },
      element("a", { class: "button", href: "/people", text: "All people", "data-list": true }),
      element("input", { id: "name", value: person.name, placeholder: "Add a name", "aria-label": "Name", autocomplete: "off", maxlength: "200" }),
      ...Object.entries(FILTERS).map(([name, [title, test]]) =>
        element("button", { type: "button", class: "chip", "data-filter": name, "aria-pressed": String(name === filter) },
          title, element("span", { text: ` ${faces.filter(test).length}` }))),
      ...(others.length
        ? [element("select", { id: "merge", "aria-label": `Merge ${who} with` },
            element("option", { value: "", text: "Same person as…" }),
            ...others.map(({ id, name }) => element("option", { value: id, text: name })))]
        : []),
      ...(person.ignored ? [] : [star(person, who, " Important")]),
      ...(person.ignored ? [] : [element("button", { type: "button", "data-do": "ignore", text: "Ignore" })]),
      ...(person.best?.run ? [element("a", { class: "button", href: photoAddress(person.best), text: "Best photo" })] : []),
    ),
    element("p", { class: "dim", role: "status", text: plural(shown.length, "face") }),
    element("ul", { class: "faces", "aria-label": `Faces of ${who}` }, ...shown.map((face) => tile(face, faces.indexOf(face), who))),
  ];
}

function tile(face, index, who) {
  const name = face.path.split("/").pop();
  const picture = facePicture(face, face.run ? `${who} in ${name}` : "");
  return element(
    "li",
    { class: "face", "data-face": index },
    face.run ? element("a", { href: photoAddress(face), title: face.path }, picture) : picture,
    ...(face.picked ? [element("span", { class: "pick", text: "◆", title: "picked" })] : []),
    element("p", { class: "dim", text: name }),
    element("button", { type: "button", "data-do": "not_person", text: who === "this person" ? "Somebody else" : `Not ${who}` }),
    element("button", { type: "button", "data-do": "not_face", text: "Not a face" }),
  );
}
