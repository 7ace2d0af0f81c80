// Tiles of the original photos, for zoom levels at which the large picture has too few pixels.
//
// They are drawn over the large picture, which stays visible until they have loaded.

import { element } from "./elements.js";
import { notify } from "./notices.js";
import { LARGE_PX } from "./pictures.js";
import { snap } from "./zoom.js";

const TILE_PX = 512; // as the server cuts them
const MARGIN_PX = 200; // page pixels around the visible part that are loaded too
const MAX_TILES = 256; // about 1 MB each once decoded

export class Tiles {
  constructor(runId) {
    this.runId = runId;
    this.loaded = new Map(); // URL -> {image, ready, failed, done}, most recently used last
  }

  // Shows the visible tiles of `figures` (photo -> figure), then loads the tiles that would be
  // visible if `upcoming` replaced the first photo.
  async render(figures, zoom, upcoming) {
    const wanted = new Map();
    for (const [photo, figure] of figures) {
      const tiles = zoom.needsMore(photo, LARGE_PX) ? findTiles(photo, figure, zoom) : [];
      for (const tile of tiles) wanted.set(this.#url(photo, tile), tile);
      this.#show(photo, figure, tiles);
    }
    this.wanted = wanted; // a later call replaces this list, which stops the current one
    this.#abandon();
    if (zoom.isFit) return this.#forgetFailed();
    await Promise.all([...wanted.keys()].map((url) => this.loaded.get(url)?.done));
    if (this.wanted !== wanted || !upcoming || !zoom.needsMore(upcoming, LARGE_PX)) return;
    const [figure] = figures.values();
    for (const tile of findTiles(upcoming, figure, zoom)) {
      const url = this.#url(upcoming, tile);
      wanted.set(url, tile);
      this.#load(url, "low");
    }
  }

  #url(photo, { column, row }) {
    const path = photo.path.split("/").map(encodeURIComponent).join("/");
    return `/tiles/${encodeURIComponent(this.runId)}/${column}/${row}/${path}`;
  }

  #show(photo, figure, tiles) {
    let layer = figure.querySelector(".tiles");
    if (!layer && !tiles.length) return;
    if (!layer) {
      layer = element("div", { class: "tiles", "aria-hidden": "true" });
      figure.querySelector("img").after(layer);
    }
    const shown = [];
    for (const tile of tiles) {
      const url = this.#url(photo, tile);
      const entry = this.#load(url, "high");
      place(entry.image, tile);
      if (entry.ready) shown.push(entry.image);
      else if (!entry.failed) entry.done.then(() => this.#put(entry, url, layer, photo, figure));
    }
    figure.classList.toggle("incomplete-tiles", tiles.some((tile) => this.loaded.get(this.#url(photo, tile))?.failed));
    layer.replaceChildren(...shown);
  }

  // Adds a tile that has just loaded, or reports why it failed.
  #put(entry, url, layer, photo, figure) {
    if (!this.wanted.has(url) || entry.image.parentElement === layer) return;
    if (entry.ready) return layer.append(entry.image);
    if (entry.failed && !figure.classList.contains("incomplete-tiles")) {
      figure.classList.add("incomplete-tiles");
      explain(photo, url);
    }
  }

  #load(url, priority) {
    const known = this.loaded.get(url);
    if (known) {
      this.loaded.delete(url);
      this.loaded.set(url, known);
      return known;
    }
    const image = element("img", { alt: "", draggable: "false" });
    image.fetchPriority = priority;
    image.decoding = "sync";
    image.src = url;
    const entry = { image, ready: false, failed: false };
    entry.done = image.decode().then(
      () => (entry.ready = true),
      () => (entry.failed = image.hasAttribute("src")), // without it, the tile was abandoned
    );
    this.loaded.set(url, entry);
    for (const oldest of this.loaded.keys()) {
      if (this.loaded.size <= MAX_TILES) break;
      this.loaded.delete(oldest);
    }
    return entry;
  }

  // Stops loading tiles that are no longer visible, because they would delay the others.
  #abandon() {
    for (const [url, { image, ready, failed }] of this.loaded) {
      if (ready || failed || this.wanted.has(url)) continue;
      this.loaded.delete(url);
      image.removeAttribute("src");
    }
  }

  #forgetFailed() {
    for (const [url, { failed }] of this.loaded) if (failed) this.loaded.delete(url);
  }
}

// Returns the visible tiles of a photo and their places in its figure, from the centre outwards.
function findTiles(photo, figure, zoom) {
  const { left, top, width, height, box } = zoom.frame(figure, photo);
  const scale = width / photo.width;
  const side = TILE_PX * scale;
  const range = (offset, size, shown) => {
    const first = Math.max(0, Math.floor((-offset - MARGIN_PX) / side));
    const end = Math.min(Math.ceil(size / side), Math.ceil((shown - offset + MARGIN_PX) / side));
    return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
  };
  const edge = (offset, all, number) => snap(offset + Math.min(all, number * side));
  const tiles = range(top, height, box.height).flatMap((row) =>
    range(left, width, box.width).map((column) => ({
      column,
      row,
      left: edge(left, width, column),
      top: edge(top, height, row),
      right: edge(left, width, column + 1),
      bottom: edge(top, height, row + 1),
    })),
  );
  const fromMiddle = (tile) =>
    Math.hypot(tile.left + tile.right - box.width, tile.top + tile.bottom - box.height);
  return tiles.sort((one, other) => fromMiddle(one) - fromMiddle(other));
}

function place({ style }, { left, top, right, bottom }) {
  style.left = `${left}px`;
  style.top = `${top}px`;
  style.width = `${right - left}px`;
  style.height = `${bottom - top}px`;
}

// Says why a photo cannot be shown at full size; an image element does not reveal the reason.
async function explain(photo, url) {
  const response = await fetch(url).catch(() => undefined);
  if (response?.ok) return;
  const { detail } = (await response?.json().catch(() => undefined)) ?? {};
  const reason = detail ?? "the server is not responding.";
  notify(`${photo.name} cannot be shown at full size: ${reason}`);
}
