// Starts the People view and carries out the user's actions.

import { byId, element, plural } from "/cull/files/elements.js";
import { place, readPersons } from "./faces.js";
import { empty, renderPersons, renderQuestions } from "./list.js";
import { renderPerson } from "./person.js";
import { read, send } from "./server.js";

const NOTICE_MS = 12000;

class People {
  persons = [];
  questions = [];
  faces = [];

  get query() {
    return new URLSearchParams(location.search);
  }

  get person() {
    return this.persons.find(({ id }) => id === this.query.get("person"));
  }

  // Loads what the address names; questions take longer, so they follow.
  async load() {
    const id = this.query.get("person");
    const loading = (this.loading = {}); // a later call replaces it
    let more = "";
    try {
      const [first, faces] = await Promise.all([readPersons(), id ? readFaces(id) : []]);
      Object.assign(this, { persons: first.persons, total: first.total, faces });
      if (id) await this.#loadMore(first.next);
      else more = first.next;
    } catch (error) {
      if (error instanceof TypeError) dispatchEvent(new Event("bestshot:unreachable"));
      byId("main").replaceChildren(empty("The people could not be loaded", error.message));
      return;
    }
    this.render();
    document.body.classList.add("ready");
    dispatchEvent(new Event("bestshot:loaded"));
    if (id) return;
    await coversOnScreen(); // loading the other persons would delay them
    if (this.loading !== loading) return;
    await this.#loadMore(more, () => {
      if (this.loading !== loading || !byId("persons")) return false;
      if (!byId("persons").contains(document.activeElement)) this.renderList();
      return true;
    }).catch((error) => this.notify(error.message));
    if (byId("persons")?.contains(document.activeElement) === false) this.renderList();
    if (this.loading !== loading) return;
    const { questions } = await read("/people/questions").catch(() => ({ questions: [] }));
    if (this.loading === loading) this.#ask(questions);
  }

  // Shows new questions, or a button for them if showing them would move what the user points at.
  #ask(questions) {
    const main = byId("main");
    const isBusy = main.matches(":hover, :focus-within") || main.scrollTop > 0;
    const isNew = questions.length > 0 && !byId("help")?.childElementCount;
    this.questions = questions;
    byId("ask").textContent = `Needs your help: ${questions.length}`;
    byId("ask").hidden = !(isNew && isBusy);
    if (byId("ask").hidden) this.renderQuestions();
  }

  renderQuestions() {
    byId("help")?.replaceChildren(...renderQuestions(this.questions));
  }

  // Loads the remaining persons page by page; calls `added` after each page, until it returns false.
  async #loadMore(token, added = () => true) {
    for (let next = token; next; ) {
      const page = await read(`/people/persons?${new URLSearchParams({ token: next })}`);
      this.persons.push(...page.persons);
      if (added() === false) return;
      next = page.next;
    }
  }

  render() {
    const { persons, person, query } = this;
    const title = query.has("person") ? person?.name || "Person" : "People";
    byId("title").textContent = document.title = title;
    byId("total").textContent = query.has("person") ? "" : plural(this.total, "person").replace("persons", "people");
    byId("ask").hidden = true;
    byId("search").hidden = query.has("person") || !persons.length;
    byId("erase").hidden = query.has("person") || !persons.length;
    if (person) {
      byId("main").replaceChildren(...renderPerson(person, persons, this.faces, query.get("show") ?? "all"));
    } else if (!persons.length || query.has("person")) {
      byId("main").replaceChildren(query.has("person") ? gone() : off());
    } else {
      const help = element("div", { id: "help" }, ...renderQuestions(this.questions));
      byId("main").replaceChildren(help, element("div", { id: "persons" }));
      this.renderList();
    }
  }

  renderList() {
    byId("persons").replaceChildren(...renderPersons(this.persons, byId("search").value));
  }

  go(query, isStep = true) {
    const url = query.size ? `/people?${query}` : "/people";
    history[isStep ? "pushState" : "replaceState"](null, "", url);
    byId("main").scrollTop = 0;
  }

  // Sends a correction, then loads what it changed.
  async correct(values, text) {
    byId("saving").textContent = "Saving…";
    try {
      const { entry_id: entry } = await send("corrections", values);
      this.notify(text, entry);
    } catch (error) {
      this.notify(error.message);
    }
    byId("saving").textContent = "";
    await this.load();
  }

  async undo(entry) {
    byId("notice").hidden = true;
    await send("undo", { entry_id: entry }).catch((error) => this.notify(error.message));
    await this.load();
  }

  async erase() {
    byId("confirm-erase").close();
    try {
      const { photo_count: count } = await send("erase");
      this.notify(`Deleted the identity vectors of ${plural(count, "photo")}.`);
    } catch (error) {
      this.notify(error.message);
    }
    await this.load();
  }

  name(person, name) {
    if (!name.trim() || name.trim() === person.name) return;
    const folded = fold(name);
    const same = this.persons.find((one) => one.id !== person.id && fold(one.name) === folded);
    if (same) return this.merge(same, person);
    return this.correct({ action: "name", person_id: person.id, name }, `Named ${name.trim()}.`);
  }

  async merge(person, other) {
    const text = person.name || other.name ? `Merged into ${person.name || other.name}.` : "Merged two people.";
    if (this.person === other) this.go(new URLSearchParams({ person: person.id }), false);
    await this.correct({ action: "merge", person_id: person.id, other_person_id: other.id }, text);
  }

  ignore(person) {
    if (this.person) this.go(new URLSearchParams(), false);
    return this.correct({ action: "ignore", person_id: person.id }, "Ignored.");
  }

  mark(person, action) {
    const who = person.name || "This person";
    const text = `From the next run on, ${who} will ${action === "important" ? "" : "no longer "}count as important.`;
    return this.correct({ action, person_id: person.id }, text);
  }

  answer({ face, person, other }, isYes) {
    const { id, name } = person;
    if (!isYes) {
      return this.correct({ action: "not_person", person_id: id, faces: [place(face)] }, `Not ${name}.`);
    }
    return other
      ? this.correct({ action: "merge", person_id: id, other_person_id: other }, `Yes, ${name}.`)
      : this.correct({ action: "move", person_id: id, faces: [place(face)] }, `Yes, ${name}.`);
  }

  say(action, face) {
    const person_id = action === "not_person" ? this.person.id : "";
    const text = action === "not_face" ? "Not a face." : `Not ${this.person.name || "this person"}.`;
    return this.correct({ action, person_id, faces: [place(face)] }, text);
  }

  notify(text, entry) {
    byId("notice-text").textContent = text;
    byId("undo").hidden = !entry;
    byId("undo").dataset.entry = entry ?? "";
    byId("notice").hidden = false;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => (byId("notice").hidden = true), NOTICE_MS);
  }
}

async function readFaces(id) {
  const found = [];
  for (let token = ""; ; ) {
    const page = await read(`/people/persons/${encodeURIComponent(id)}/faces?${new URLSearchParams({ token })}`);
    found.push(...page.faces);
    token = page.next;
    if (!token) return found;
  }
}

// Waits until each cover on the screen has loaded or failed to load.
function coversOnScreen() {
  const covers = [...document.querySelectorAll(".person img")];
  const shown = covers.filter((image) => image.getBoundingClientRect().top < innerHeight);
  return Promise.all(shown.map((image) => image.decode().catch(() => {})));
}

function off() {
  return empty(
    "No people yet",
    element("p", {}, "Run ", element("code", { text: "bestshot models pull mobilefacenet" }),
      ", then ", element("code", { text: "bestshot curate FOLDER --set people.enabled=true" }), "."),
    element("a", { class: "button", href: "/", text: "Back to albums and runs" }),
  );
}

function gone() {
  return empty("This person no longer exists", element("a", { class: "button", href: "/people", text: "All people" }));
}

function listenToClicks(people) {
  byId("main").addEventListener("click", (event) => {
    const { target } = event;
    const filter = target.closest("[data-filter]")?.dataset.filter;
    const answer = target.closest("[data-answer]")?.dataset.answer;
    const action = target.closest("[data-do]")?.dataset.do;
    const link = target.closest("a[href^='/people']");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      people.go(new URL(link.href).searchParams);
      people.load();
    } else if (filter) {
      people.go(new URLSearchParams({ person: people.person.id, show: filter }), false);
      people.render();
      document.querySelector(`[data-filter=${filter}]`).focus();
    } else if (answer) {
      people.answer(people.questions[target.closest("[data-question]").dataset.question], answer === "yes");
    } else if (action === "ignore") {
      people.ignore(personOf(people, target) ?? people.person);
    } else if (action?.endsWith("important")) {
      people.mark(personOf(people, target) ?? people.person, action);
    } else if (action) {
      people.say(action, people.faces[target.closest("[data-face]").dataset.face]);
    }
  });
  byId("ask").addEventListener("click", () => {
    byId("ask").hidden = true;
    people.renderQuestions();
    byId("main").scrollTop = 0;
    document.querySelector("[data-answer]")?.focus();
  });
  byId("erase").addEventListener("click", () => byId("confirm-erase").showModal());
  byId("cancel").addEventListener("click", () => byId("confirm-erase").close());
  byId("confirm").addEventListener("click", () => people.erase());
  byId("undo").addEventListener("click", () => people.undo(byId("undo").dataset.entry));
}

function listenToNames(people) {
  byId("search").addEventListener("input", () => people.renderList());
  byId("main").addEventListener("change", (event) => {
    const { target } = event;
    if (target.id === "merge") {
      people.merge(people.persons.find(({ id }) => id === target.value), people.person);
    } else if (target.matches("input")) {
      people.name(personOf(people, target) ?? people.person, target.value);
    }
  });
  byId("main").addEventListener("keydown", (event) => {
    if (event.target.matches("input") && event.key === "Enter") event.target.blur();
  });
  window.addEventListener("popstate", () => people.load());
}

// Folds a name, as the server does when it checks whether two names are the same.
function fold(name) {
  return name.trim().normalize().toLowerCase();
}

// Lets the user merge one person into another by dragging.
function listenToDrags(people) {
  const main = byId("main");
  let dragged;
  const markTarget = (card) => {
    main.querySelector(".target")?.classList.remove("target");
    card?.classList.add("target");
  };
  const target = (event) => {
    const card = event.target.closest?.("[data-person]");
    return dragged && card && card.dataset.person !== dragged.id ? card : null;
  };
  main.addEventListener("dragstart", (event) => (dragged = personOf(people, event.target)));
  main.addEventListener("dragover", (event) => {
    const card = target(event);
    if (card) event.preventDefault();
    markTarget(card);
  });
  main.addEventListener("dragend", () => markTarget(null));
  main.addEventListener("drop", (event) => {
    const card = target(event);
    markTarget(null);
    if (!card) return;
    event.preventDefault();
    people.merge(personOf(people, card), dragged);
  });
}

function personOf(people, node) {
  const wanted = node.closest?.("[data-person]")?.dataset.person;
  return people.persons.find(({ id }) => id === wanted);
}

const people = new People();
listenToClicks(people);
listenToNames(people);
listenToDrags(people);
people.load();
