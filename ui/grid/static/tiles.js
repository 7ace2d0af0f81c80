// The photos on the screen. Only photos in view have elements, which are reused while scrolling.

import { byId, element, plural } from "/cull/files/elements.js";
import { Photos } from "/cull/files/photos.js";
import { groupPhotos, layOut, lowerBound } from "./layout.js";

const OVERSCAN_PX = 500;

export class Tiles {
  // `addressOf(photo)` returns the address of its large view.
  constructor(pictures, addressOf) {
    this.pictures = pictures;
    this.addressOf = addressOf;
    this.photos = [];
    this.selected = new Set();
    this.current = null;
    this.shown = new Map(); // index -> tile
    this.shownLabels = new Map();
    this.spare = [];
    this.scroller = byId("scroller");
    this.canvas = byId("canvas");
    this.scroller.addEventListener("scroll", () => this.#schedule(), { passive: true });
    new ResizeObserver(() => this.resize(this.size)).observe(this.scroller);
    this.layout = layOut([], 1, 1);
    this.size = 160;
  }

  // Shows other photos, or more of the same list.
  setPhotos(photos) {
    this.photos = photos;
    this.indexes = new Map(photos.map((photo, index) => [photo, index]));
    this.groups = groupPhotos(photos);
    if (!this.indexes.has(this.current)) this.current = photos[0] ?? null;
    for (const photo of this.selected) if (!this.indexes.has(photo)) this.selected.delete(photo);
    this.resize(this.size);
  }

  // Changes the size of the pictures; the current photo stays where it is on the screen.
  resize(size) {
    if (!this.groups) return;
    const index = this.indexes.get(this.current);
    const before = index === undefined ? 0 : this.layout.ys[index] - this.scroller.scrollTop;
    const isInView = before > -this.size && before < this.scroller.clientHeight;
    this.size = size;
    const { clientWidth } = this.canvas;
    this.layout = layOut(this.groups, clientWidth, Math.min(size, clientWidth));
    this.canvas.style.height = `${this.layout.height + 90}px`;
    if (index !== undefined && isInView && this.layout.ys[index] !== undefined) {
      this.scroller.scrollTop = this.layout.ys[index] - before;
    }
    this.#clear();
    this.#render();
  }

  // Makes a photo the current one and scrolls to it.
  show(photo, focus) {
    const index = this.indexes.get(photo);
    if (index === undefined) return;
    const previous = this.shown.get(this.indexes.get(this.current));
    this.current = photo;
    const top = this.layout.ys[index];
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop + 40) this.scroller.scrollTop = Math.max(0, top - 60);
    else if (top + this.layout.size > scrollTop + clientHeight - 70) {
      this.scroller.scrollTop = top + this.layout.size - clientHeight + 80;
    }
    this.#render();
    if (previous?.isConnected && previous.photo) this.#mark(previous);
    const tile = this.shown.get(index);
    this.#mark(tile);
    if (focus) tile.querySelector("a").focus({ preventScroll: true });
  }

  // Shows which photos are decided and selected.
  refresh() {
    for (const tile of this.shown.values()) this.#mark(tile);
  }

  #schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#render();
    });
  }

  #clear() {
    for (const tile of this.shown.values()) this.#release(tile);
    for (const label of this.shownLabels.values()) label.remove();
    this.shown.clear();
    this.shownLabels.clear();
  }

  #release(tile) {
    if (tile.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    tile.remove();
    this.spare.push(tile);
  }

  #render() {
    const { xs, ys, labels, size } = this.layout;
    const top = this.scroller.scrollTop - OVERSCAN_PX;
    const bottom = this.scroller.scrollTop + this.scroller.clientHeight + OVERSCAN_PX;
    const first = lowerBound(ys.length, (index) => ys[index] + size, top);
    const last = lowerBound(ys.length, (index) => ys[index], bottom);
    for (const [index, tile] of this.shown) {
      if (index >= first && index < last) continue;
      this.shown.delete(index);
      this.#release(tile);
    }
    const added = document.createDocumentFragment();
    for (let index = first; index < last; index += 1) {
      if (!this.shown.has(index)) added.append(this.#tile(index, xs[index], ys[index], size));
    }
    const firstLabel = lowerBound(labels.length, (place) => labels[place].y, top);
    const lastLabel = lowerBound(labels.length, (place) => labels[place].y, bottom);
    for (const [place, label] of this.shownLabels) {
      if (place >= firstLabel && place < lastLabel) continue;
      this.shownLabels.delete(place);
      label.remove();
    }
    for (let place = firstLabel; place < lastLabel; place += 1) {
      if (!this.shownLabels.has(place)) added.append(this.#label(place, labels[place]));
    }
    this.canvas.append(added);
  }

  #tile(index, x, y, size) {
    const tile = this.spare.pop() ?? makeTile();
    const photo = this.photos[index];
    tile.photo = photo;
    tile.style.transform = `translate(${x}px, ${y}px)`;
    tile.style.width = tile.style.height = `${size}px`;
    const link = tile.querySelector("a");
    link.href = photo.error ? "#" : this.addressOf(photo);
    const picture = photo.error
      ? element("span", { class: "broken", text: `${photo.name}: ${photo.error}` })
      : element("img", { src: this.pictures.small(photo), alt: "", draggable: "false" });
    link.replaceChildren(picture);
    this.shown.set(index, tile);
    this.#mark(tile);
    return tile;
  }

  #label(place, { title, count, x, y, width }) {
    const note = title.startsWith("Moment") && count > 1 ? ` ${plural(count, "shot")}` : "";
    const label = element("p", { class: "label" }, element("b", { text: title }), note);
    label.style.transform = `translate(${x}px, ${y}px)`;
    label.style.width = `${width}px`;
    this.shownLabels.set(place, label);
    return label;
  }

  #mark(tile) {
    const { photo } = tile;
    const decision = Photos.decision(photo);
    const state = decision === "keep" ? "kept" : decision === "reject" ? "rejected"
      : Photos.isPick(photo) ? "pick" : "";
    const isSelected = this.selected.has(photo);
    tile.className = ["tile", state, isSelected && "selected", photo === this.current && "current"]
      .filter(Boolean).join(" ");
    tile.dataset.path = photo.path;
    const link = tile.querySelector("a");
    link.tabIndex = photo === this.current ? 0 : -1;
    link.setAttribute("aria-label", [photo.name, state, isSelected && "selected"].filter(Boolean).join(", "));
    link.title = photo.reason || photo.name;
    const check = tile.querySelector("button");
    check.setAttribute("aria-pressed", String(isSelected));
    check.setAttribute("aria-label", `Select ${photo.name}`);
  }
}

function makeTile() {
  return element(
    "div",
    { class: "tile" },
    element("a", { draggable: "false" }),
    element("i", { class: "dot", "aria-hidden": "true" }),
    element("button", { type: "button", class: "check", tabindex: "-1" }),
  );
}
