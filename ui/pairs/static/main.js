// Shows two shots at a time, and sends which one is better.

import { readAddress } from "/cull/files/address.js";
import { byId, element } from "/cull/files/elements.js";
import { listenToGestures } from "/cull/files/gestures.js";
import { newId } from "/cull/files/identity.js";
import { notify, showSaving, tell } from "/cull/files/notices.js";
import { Pictures } from "/cull/files/pictures.js";
import { Queue } from "/cull/files/queue.js";
import { Tiles } from "/cull/files/tiles.js";
import { Zoom } from "/cull/files/zoom.js";
import { showProposal } from "./proposal.js";

const AHEAD_COUNT = 3; // pairs to load before they are shown
const KEYS = {
  ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", ArrowDown: "unsure", " ": "unsure",
  u: "undo", z: "magnify", l: "proposal", Escape: "back",
};

class Pairs {
  constructor(answer, { url, cullUrl, runId }) {
    this.url = url;
    this.cullUrl = cullUrl;
    this.runId = runId;
    this.pairs = answer.pairs; // pairs shown and to come
    this.place = 0;
    this.answered = answer.answered_count;
    this.left = answer.left_count;
    this.given = []; // this page's answers: {entry, place}, oldest first
    this.pictures = new Pictures(runId);
    this.tiles = new Tiles(runId);
    this.zoom = new Zoom();
    this.queue = new Queue(`${cullUrl}/decisions`, {
      mark: () => 0,
      saved: () => {},
      refused: (entries, text) => notify(`An answer was not stored: ${text}`),
      counted: () => this.#showSaving(),
    });
    new ResizeObserver(() => this.renderZoom()).observe(byId("shots"));
    this.queue.adopt();
    this.#showSaving();
    this.show();
  }

  get pair() {
    return this.pairs[this.place];
  }

  // Shows the current pair, or says that there are no more pairs.
  show() {
    byId("answered").textContent = `${this.answered} answered`;
    byId("left").textContent = `${this.left} left`;
    document.body.classList.toggle("done", !this.pair);
    this.zoom.fit();
    if (!this.pair) return this.#more();
    this.figures = new Map(this.pair.map((photo, side) => [photo, this.#figure(photo, side)]));
    byId("main").replaceChildren(this.#shots(...this.figures.values()));
    this.renderZoom();
    const [left, right] = this.pair;
    byId("announcer").textContent = `Left: ${left.name}. Right: ${right.name}.`;
    const next = this.pairs.slice(this.place + 1, this.place + 1 + AHEAD_COUNT).flat();
    this.pictures.prefetch(this.pair, next, []);
  }

  #shots(...figures) {
    const shots = this.shots ?? byId("shots");
    this.shots = shots;
    shots.replaceChildren(...figures);
    return shots;
  }

  #figure(photo, side) {
    const figure = element(
      "figure",
      { "data-path": photo.path },
      element("img", { src: this.pictures.small(photo), alt: photo.name, draggable: "false" }),
      element("span", { class: "side", text: side ? "Second" : "First" }),
      element("figcaption", {}, element("b", { text: photo.name })),
      element("span", { class: "percent" }),
    );
    const large = this.pictures.large(photo);
    for (const picture of [this.pictures.medium(photo), large]) this.#use(picture, figure, photo);
    large.done.then((loaded) => figure.classList.toggle("incomplete", !loaded));
    return figure;
  }

  // Puts a picture into its figure once it can be shown without delay.
  #use({ image, ready, done }, figure, photo) {
    const put = () => {
      const shown = figure.querySelector("img");
      if (shown === image || shown.naturalWidth > image.naturalWidth) return;
      image.alt = photo.name;
      shown.replaceWith(image);
      if (figure.isConnected) this.zoom.apply(figure, photo);
    };
    if (ready) put();
    else done.then((loaded) => loaded && put());
  }

  renderZoom() {
    for (const [photo, figure] of this.figures ?? []) {
      figure.querySelector(".percent").textContent = this.zoom.apply(figure, photo);
    }
    this.tiles.render(this.figures ?? new Map(), this.zoom);
  }

  run(command) {
    switch (command) {
      case "left": return this.#answer("prefer", 0);
      case "right": return this.#answer("prefer", 1);
      case "unsure": return this.#answer("unsure", 0);
      case "undo": return this.#undo();
      case "magnify": return this.toggleZoom({ x: 0.5, y: 0.5 });
      case "proposal": return this.#learn();
      case "back":
        if (this.zoom.isFit) location.href = this.cullUrl;
        else this.#fit();
        return undefined;
      // gestures of the Cull view
      case "keep": return this.#answer("prefer", 1);
      case "reject": return this.#answer("prefer", 0);
      case "nextMoment": return this.#answer("unsure", 0);
    }
    return undefined;
  }

  // Stores an answer and shows the next pair.
  #answer(action, side) {
    if (!this.pair) return;
    const photos = [this.pair[side], this.pair[1 - side]];
    const entry = {
      id: newId(),
      action,
      photos: photos.map(({ digest, path }) => ({ content_digest: digest, path })),
      run_id: this.runId,
      create_time: new Date().toISOString(),
    };
    this.given.push({ entry, place: this.place });
    this.answered += 1;
    this.left -= 1;
    this.place += 1;
    this.queue.add(entry);
    this.show();
  }

  #undo() {
    const last = this.given.pop();
    if (!last) return notify("There is no answer to undo.");
    this.queue.add({
      id: newId(),
      action: "undo",
      undone_id: last.entry.id,
      create_time: new Date().toISOString(),
    });
    this.answered -= 1;
    this.left += 1;
    this.place = last.place;
    this.show();
    return undefined;
  }

  // Loads more pairs once the answers are stored; says so if there are none.
  async #more() {
    const { place } = this;
    await this.#saved();
    const response = this.left > 0 ? await fetch(`${this.url}/pairs`) : undefined;
    const answer = response?.ok ? await response.json() : { pairs: [] };
    if (this.place !== place) return; // an answer was undone in the meantime
    this.pairs.push(...answer.pairs);
    if (answer.pairs.length) return this.show();
    byId("main").replaceChildren(
      element("div", { class: "empty" },
        element("h2", { text: this.answered ? "No more pairs" : "No pairs to compare" }),
        element("p", { text: this.answered
          ? "You have compared every pair of shots that bestshot was unsure of."
          : "This run has no moments with two usable shots whose scores differ." }),
        element("button", { type: "button", "data-command": "proposal", text: "What bestshot has learned" }),
        element("a", { href: this.cullUrl, text: "Cull" })),
    );
    return undefined;
  }

  async #learn() {
    await this.#saved();
    await showProposal(this.url);
  }

  // Waits until the server has all answers.
  #saved() {
    if (!this.queue.count) return undefined;
    return new Promise((resolve) => (this.whenSaved = resolve));
  }

  #showSaving() {
    const { count, problem } = this.queue ?? { count: 0, problem: "" };
    showSaving(count, problem, "answer");
    if (!count) this.whenSaved?.();
  }

  // What the gestures need: a click or a tap zooms both shots, a swipe answers.
  photoOf(figure) {
    return this.pair.find((photo) => photo.path === figure.dataset.path);
  }

  get photo() {
    return this.pointed;
  }

  toggleZoom(place) {
    if (this.zoom.isFit) this.zoom.magnify(place);
    else this.zoom.fit();
    this.renderZoom();
  }

  #fit() {
    this.zoom.fit();
    this.renderZoom();
  }
}

function listen(pairs) {
  document.addEventListener("keydown", (event) => {
    const control = event.target.closest("button, a, input");
    if (document.querySelector("dialog[open]") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.repeat || (control && [" ", "Enter"].includes(event.key))) return;
    const command = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!command) return;
    event.preventDefault();
    pairs.run(command);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.detail && !button?.closest("dialog")) button?.blur(); // otherwise Space would press it again
    const { command } = event.target.closest("[data-command]")?.dataset ?? {};
    if (command) pairs.run(command);
  });
  // remembers the shot under the pointer, for zooming
  byId("shots").addEventListener("pointerdown", (event) => {
    const figure = event.target.closest("figure");
    pairs.pointed = figure ? pairs.photoOf(figure) : undefined;
  }, true);
  listenToGestures(byId("shots"), pairs);
  window.addEventListener("beforeunload", (event) => {
    if (pairs.queue.count) event.preventDefault();
  });
}

async function start() {
  const { albumId, runId } = readAddress();
  const place = `${encodeURIComponent(albumId)}/${encodeURIComponent(runId)}`;
  const [url, cullUrl] = [`/pairs/${place}`, `/cull/${place}`];
  const response = await fetch(`${url}/pairs`);
  const answer = await response.json();
  if (!response.ok) return tell(byId("main"), "bestshot cannot learn from this run", String(answer.detail));
  byId("home").href = cullUrl;
  byId("album").textContent = answer.album;
  document.title = `Which one? ${answer.album}`;
  listen(new Pairs(answer, { url, cullUrl, runId }));
  document.body.classList.add("ready");
  dispatchEvent(new Event("bestshot:loaded"));
  return undefined;
}

start().catch((error) => {
  tell(byId("main"), "The pairs could not be loaded", "The server is not responding. Reload the page to try again.");
  if (!(error instanceof TypeError)) throw error; // fetch throws one if it gets no answer
  console.error(error);
  dispatchEvent(new Event("bestshot:unreachable"));
});
