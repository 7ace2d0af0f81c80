// Renders the screen: shots, filmstrip, panel and counts.

import { rival } from "./album.js";
import { arrange, byId, element, update } from "./elements.js";
import { renderFaces } from "./faces.js";
import { COMMANDS, keyCaption } from "./keys.js";
import { describeMarks, markButtons, marks } from "./marks.js";
import { notify, showSaving } from "./notices.js";
import { Photos } from "./photos.js";

const ALL_COUNT = 6;
const UPCOMING_COUNT = 8;
const EARLIER_COUNT = 2;
const LATER_COUNT = 60; // enough to stay ahead when the machine becomes busy

export class View {
  constructor(album, pictures, tiles, zoom) {
    this.album = album;
    this.pictures = pictures;
    this.tiles = tiles;
    this.zoom = zoom;
    this.layout = "one"; // or "compare" or "all"
    this.figures = new Map(); // photo -> its figure, in the order shown
    this.stripButtons = new Map();
    byId("album").textContent = album.name;
    byId("run").textContent = album.runTitle;
    document.title = `Cull ${album.name}`;
    this.#describeKeys();
    new ResizeObserver(() => this.#fitShots()).observe(byId("shots"));
  }

  // Shows a photo, along with the others that the layout includes.
  show(photo) {
    const { moment } = this;
    this.photo = photo;
    this.moment = photo.at;
    this.#renderShots(this.#beside(photo));
    if (moment !== photo.at) this.#renderStrip(photo.at);
    for (const [other, button] of this.stripButtons) {
      if (other === photo) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.classList.toggle("same-set", isOneSet(photo, other));
    }
    this.#renderFacts();
    const { photos } = photo.at;
    const place = `shot ${photos.indexOf(photo) + 1} of ${photos.length}`;
    byId("announcer").textContent = describe(photo, place);
    // last, because both make the browser compute the layout, and any later change would make it do
    // so again
    this.stripButtons.get(photo).scrollIntoView({ block: "nearest", inline: "center" });
    this.#fitShots();
  }

  setLayout(layout) {
    this.layout = this.layout === layout ? "one" : layout;
    this.show(this.photo);
  }

  // Shows or hides the faces strip; the keyboard focus stays on the shots.
  toggleFaces() {
    const strip = byId("faces");
    strip.hidden = !strip.hidden;
    this.#renderFaces();
  }

  #renderFaces() {
    const strip = byId("faces");
    if (strip.hidden) return;
    const { face, path } = document.activeElement?.closest("#faces button")?.dataset ?? {};
    renderFaces(this.photo, this.pictures);
    if (face) strip.querySelector(`[data-face="${face}"][data-path="${CSS.escape(path)}"]`)?.focus();
    strip.querySelector("td.current")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  // Shows the decisions on photos.
  refresh(photos) {
    for (const photo of photos) {
      const figure = this.figures.get(photo);
      if (figure) this.#mark(figure, photo);
      const button = this.stripButtons.get(photo);
      if (button) this.#markThumb(button, photo);
    }
    // in a microtask, because a key that decides usually shows the next photo as well
    this.changed = [...(this.changed ?? []), ...photos];
    queueMicrotask(() => this.changed && this.#renderFacts(this.changed));
  }

  // Renders what is known about the shot and its moment, as far as `changed` photos matter to it.
  #renderFacts(changed = [this.photo]) {
    this.changed = undefined;
    if (changed.includes(this.photo)) this.#renderPanel(this.photo);
    if (changed.some((photo) => photo.at === this.photo.at)) this.#renderFaces();
    this.#renderCounts();
  }

  // Announces a photo's new state to screen readers.
  announce(photo) {
    byId("announcer").textContent = describe(photo);
  }

  showSaving(count, problem) {
    showSaving(count, problem, "decision");
    if (!problem && !count && this.toldOfProblem) notify("Everything is saved.");
    this.toldOfProblem = Boolean(problem);
  }

  #beside(photo) {
    const { photos } = photo.at;
    if (this.layout === "compare" && photos.length > 1) {
      const best = photos[0];
      return [best, photo === best ? rival(best) : photo];
    }
    if (this.layout === "all") {
      const first = photos.indexOf(photo) - (photos.indexOf(photo) % ALL_COUNT);
      return photos.slice(first, first + ALL_COUNT);
    }
    return [photo];
  }

  #renderShots(photos) {
    const before = this.figures;
    this.figures = new Map(photos.map((photo) => [photo, before.get(photo) ?? this.#figure(photo)]));
    const shots = byId("shots");
    shots.dataset.count = photos.length;
    const figures = [...this.figures.values()];
    if (figures.some((figure, place) => shots.children[place] !== figure)) {
      shots.replaceChildren(...figures);
    } else while (shots.children.length > figures.length) shots.lastChild.remove();
    for (const [photo, figure] of this.figures) {
      figure.classList.toggle("current", photo === this.photo);
    }
    this.#prefetch(photos);
  }

  // Arranges the shots in as many columns as show them largest.
  #fitShots() {
    const shots = byId("shots");
    const { width, height } = shots.getBoundingClientRect();
    const photos = [...this.figures.keys()];
    const area = (columns) => {
      const [wide, high] = [width / columns, height / Math.ceil(photos.length / columns)];
      const shown = ({ width: w, height: h }) => Math.min(wide / (w || 3), high / (h || 2)) ** 2 * (w || 3) * (h || 2);
      return photos.reduce((sum, photo) => sum + shown(photo), 0);
    };
    const counts = photos.map((_, index) => index + 1);
    const best = counts.reduce((one, other) => (area(other) > area(one) ? other : one), 1);
    shots.style.gridTemplateColumns = `repeat(${best}, minmax(0, 1fr))`;
    this.renderZoom();
  }

  // Shows all shots at the current zoom, with tiles where the pictures have too few pixels for it.
  renderZoom() {
    for (const [photo, figure] of this.figures) {
      const percent = figure.querySelector(".percent");
      const text = this.zoom.apply(figure, photo);
      if (percent.textContent !== text) percent.textContent = text; // otherwise laid out again
    }
    this.tiles.render(this.figures, this.zoom, this.album.after(this.photo, 1));
  }

  #figure(photo) {
    const figure = element(
      "figure",
      { "data-path": photo.path },
      element("img", { src: this.pictures.small(photo), alt: photo.name, draggable: "false" }),
      element("span", { class: "tag" }),
      element("figcaption", {}, element("b", { text: photo.name }), marks(photo), ...facts(photo)),
      element("span", { class: "percent" }),
    );
    const large = this.pictures.large(photo);
    for (const picture of [this.pictures.medium(photo), large]) this.#use(picture, figure, photo);
    large.done.then((loaded) => figure.classList.toggle("incomplete", !loaded));
    this.#mark(figure, photo);
    return figure;
  }

  // Puts a picture into its figure once it can be shown without delay, unless a better one is
  // there.
  #use({ image, ready, done }, figure, photo) {
    image.alt = photo.name;
    const put = () => {
      const shown = figure.querySelector("img");
      if (!shown || shown === image || shown.naturalWidth > image.naturalWidth) return;
      shown.replaceWith(image);
      if (this.figures.get(photo) === figure) this.zoom.apply(figure, photo);
    };
    if (ready) put();
    else done.then((loaded) => loaded && put());
  }

  // Loads the photos that the next keys may show: first the next three shots in the direction of
  // the last key, the shot behind and the first shots of the next moment; later, the rest of this
  // moment and many shots after it.
  #prefetch(shown) {
    const { index } = this.photo;
    const by = index < this.lastIndex ? -1 : 1;
    this.lastIndex = index;
    const next = this.album.momentAfter(this.photo.at, by)?.photos ?? [];
    const wanted = [
      ...[by, 2 * by, 3 * by].map((steps) => this.album.after(this.photo, steps)),
      ...next.slice(0, shown.length),
      this.album.after(this.photo, -by),
    ];
    const ahead = this.album.photos.slice(index, index + LATER_COUNT);
    const later = [...new Set([...ahead.slice(0, UPCOMING_COUNT), ...this.photo.at.photos, ...ahead])];
    this.pictures.prefetch(shown, wanted.filter(Boolean), later);
  }

  #mark(figure, photo) {
    const decision = Photos.decision(photo);
    figure.classList.toggle("kept", decision === "keep");
    figure.classList.toggle("rejected", decision === "reject");
    figure.classList.toggle("pick", Photos.isPick(photo));
    figure.querySelector(".tag").textContent = state(photo) || rank(photo);
    figure.querySelector(".marks").replaceWith(marks(photo));
  }

  #renderStrip(moment) {
    const before = this.album.momentAfter(moment, -1)?.photos.slice(-EARLIER_COUNT) ?? [];
    const upcoming = this.album.momentAfter(moment, 1)?.photos.slice(0, UPCOMING_COUNT) ?? [];
    const thumbs = (photos, isOther) =>
      photos.map((photo) => {
        const button = known.get(photo) ?? this.#thumb(photo);
        button.toggleAttribute("data-other", isOther);
        this.stripButtons.set(photo, button);
        return button;
      });
    const known = this.stripButtons;
    this.stripButtons = new Map();
    arrange(byId("strip"), [
      ...thumbs(before, true),
      ...(before.length ? [element("span", { class: "gap", title: "previous moment" })] : []),
      ...thumbs(moment.photos, false),
      ...(upcoming.length ? [element("span", { class: "gap", title: "next moment" })] : []),
      ...thumbs(upcoming, true),
    ]);
  }

  #thumb(photo) {
    const attributes = { alt: "", loading: "lazy", draggable: "false" };
    const picture = element("img", { src: this.pictures.small(photo), ...attributes });
    picture.style.aspectRatio = `${photo.width || 3} / ${photo.height || 2}`;
    const button = element(
      "button",
      {
        type: "button",
        "data-path": photo.path,
        tabindex: "-1",
        draggable: "true",
      },
      picture,
      ...(photo.set ? [setBadge(photo.set)] : []),
      element("i", { class: "dot", "aria-hidden": "true" }),
      marks(photo),
    );
    this.#markThumb(button, photo);
    return button;
  }

  #markThumb(button, photo) {
    const decision = Photos.decision(photo);
    button.classList.toggle("kept", decision === "keep");
    button.classList.toggle("rejected", decision === "reject");
    button.classList.toggle("pick", Photos.isPick(photo));
    button.setAttribute("aria-label", describe(photo));
    button.querySelector(".marks").replaceWith(marks(photo));
    button.title = photo.set ? `${photo.name}, ${describeSet(photo.set)}` : photo.name;
  }

  #renderPanel(photo) {
    const other = this.figures.size === 2
      ? [...this.figures.keys()].find((shown) => shown !== photo)
      : rival(photo);
    const reason = element("p", { class: `why ${photo.picked ? "picked" : ""}`, text: photo.reason });
    update(byId("panel"), [
      element("h2", { text: photo.name }),
      this.#giveButtons(photo),
      reason,
      ...(photo.set ? [element("p", { class: "dim", text: `${describeSet(photo.set)}.` })] : []),
      ...(photo.damage ? [element("p", { class: "problem", text: photo.damage })] : []),
      ...(photo.caption ? [element("p", { class: "dim", text: photo.caption })] : []),
      ...(photo.at.photos.length > 1 ? [this.#comparison(photo, other)] : []),
      this.#momentButtons(photo),
    ]);
  }

  // Shows or hides the buttons that split, merge and move, on screens too small to always show them.
  toggleRegrouping() {
    byId("panel").classList.toggle("regrouping");
    this.#renderPanel(this.photo);
  }

  #giveButtons(photo) {
    const buttons = markButtons(photo);
    if (photo.at.photos.some(({ faces }) => faces.length)) {
      const attributes = { type: "button", class: "narrow show-faces", "data-command": "faces" };
      buttons.append(element("button", { ...attributes, text: "Faces" }));
    }
    const isOpen = byId("panel").classList.contains("regrouping");
    buttons.append(
      element("button", {
        type: "button", class: "show-moment", "data-command": "regroup", "aria-expanded": String(isOpen), text: "Group",
      }),
    );
    return buttons;
  }

  #momentButtons(photo) {
    const { moments } = this.album;
    const [isFirst, isLast] = [photo.at.number === 1, photo.at.number === moments.length];
    const buttons = [
      ["split", "Split before this shot", "S", photo === photo.at.photos[0]],
      ["merge", "Merge with next moment", "M", isLast],
      ["moveBack", "Move to previous moment", "⇧↑", isFirst],
      ["moveOn", "Move to next moment", "⇧↓", isLast],
    ];
    return element(
      "div",
      { class: "moment", role: "group", "aria-label": "Moment" },
      ...buttons.map(([command, text, key, disabled]) =>
        element(
          "button",
          { type: "button", "data-command": command, disabled },
          text,
          element("kbd", { text: key, "aria-hidden": "true" }),
        ),
      ),
    );
  }

  #comparison(photo, other) {
    const rows = this.album.scores.flatMap(({ label, lower_is_better }, index) => {
      const [value, against] = [photo.scores[index], other.scores[index]];
      if (value === null && against === null) return [];
      const differ = value !== null && against !== null && number(value) !== number(against);
      const wins = differ && value > against !== lower_is_better;
      return element(
        "tr",
        {},
        element("th", { scope: "row", text: label }),
        element("td", { text: number(value), class: differ && wins ? "better" : "" }),
        element("td", { text: number(against), class: differ && !wins ? "better" : "" }),
      );
    });
    const head = element(
      "tr",
      {},
      element("th", { scope: "col", text: "Score" }),
      element("th", { scope: "col", text: "This" }),
      element("th", { scope: "col", text: "Other" }),
    );
    const caption = element("caption", { text: `Compared with ${other.name}` });
    return element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows));
  }

  #renderCounts() {
    const { album, photo } = this;
    const undecided = album.count("");
    byId("place").textContent = `Moment ${photo.at.number} of ${album.moments.length}`;
    byId("undecided").textContent = `${undecided} undecided`;
    byId("progress").value = album.photos.length ? 1 - undecided / album.photos.length : 1;
  }

  #describeKeys() {
    byId("hints").replaceChildren(
      ...COMMANDS.filter((command) => command.hint).map(({ keys, hint, hintKeys }) =>
        element("span", {}, element("kbd", { text: hintKeys ?? keyCaption(keys[0]) }), ` ${hint}`),
      ),
    );
    byId("keys").querySelector("dl").replaceChildren(
      ...COMMANDS.map(({ keys, text }) =>
        element(
          "div",
          {},
          element("dt", {}, ...keys.map((key) => element("kbd", { text: keyCaption(key) }))),
          element("dd", { text }),
        ),
      ),
    );
  }
}

function state(photo) {
  const decision = Photos.decision(photo);
  if (decision) return decision === "keep" ? "Kept" : "Rejected";
  return photo.picked ? "Pick" : "";
}

// Describes a shot for screen readers, for example "a.jpg, shot 1 of 3, Kept, 4 stars".
function describe(photo, place = "") {
  const set = photo.set ? describeSet(photo.set) : "";
  return [photo.name, place, state(photo), set, ...describeMarks(photo)].filter(Boolean).join(", ");
}

function describeSet({ kind, place, size }) {
  return `Frame ${place} of ${size} in ${kind}`;
}

function setBadge({ place, size }) {
  return element("span", { class: "set", "aria-hidden": "true", text: `${place}/${size}` });
}

function isOneSet(photo, other) {
  return Boolean(photo.set && other.set && photo.set.id === other.set.id);
}

function rank(photo) {
  return photo === rival(photo.at.photos[0]) ? "Runner-up" : "";
}

function facts(photo) {
  return photo.facts.map((fact) => element("span", { text: fact }));
}

function number(value) {
  return value === null ? "" : value.toFixed(2);
}
