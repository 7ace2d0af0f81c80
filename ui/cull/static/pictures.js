// Pictures of photos, loaded and decoded before they are needed.

export const LARGE_PX = 2048;
const FULL_PX = 65500; // more than any photo has: the server never makes a picture larger
const SMALL_PX = 320;
const FACE_PX = 256;
const MAX_ROWS = 40;
const MAX_LARGE = 24; // about 12 MB each once decoded
const MAX_FULL = 7; // about 100 MB each for 24 megapixels: six shown and one upcoming

export class Pictures {
  constructor(runId) {
    this.runId = runId;
    this.larges = new Map(); // URL -> {image, ready, done}, most recently used last
    this.fulls = new Map();
    this.rows = new Map(); // rows of faces
    this.drawn = new Set(); // URLs of large pictures that the server has prepared
  }

  url(photo, longSide) {
    const path = photo.path.split("/").map(encodeURIComponent).join("/");
    return `/photos/${encodeURIComponent(this.runId)}/${longSide}/${path}`;
  }

  small(photo) {
    return this.url(photo, SMALL_PX);
  }

  // Loads a photo at screen size: {image, ready, done}. `done` resolves to the image once it can be
  // shown without delay, or to nothing if it cannot be loaded.
  large(photo, priority = "high") {
    return this.#load(this.larges, MAX_LARGE, this.url(photo, LARGE_PX), priority);
  }

  // Loads a photo at full size.
  full(photo, priority = "high") {
    return this.#load(this.fulls, MAX_FULL, this.url(photo, FULL_PX), priority);
  }

  // Loads the faces of a photo, side by side.
  faces(photo) {
    return this.#load(this.rows, MAX_ROWS, `${this.url(photo, FACE_PX)}?faces=1`, "low");
  }

  #load(loaded, count, url, priority) {
    const known = loaded.get(url);
    if (known) {
      loaded.delete(url);
      loaded.set(url, known);
      return known;
    }
    const image = new Image();
    image.fetchPriority = priority;
    image.decoding = "sync";
    image.draggable = false;
    image.src = url;
    const entry = { image, ready: false };
    entry.done = image.decode().then(
      () => {
        entry.ready = true;
        return image;
      },
      () => {
        if (loaded.get(url) === entry) loaded.delete(url); // retried when needed again
        return undefined;
      },
    );
    loaded.set(url, entry);
    for (const oldest of loaded.keys()) {
      if (loaded.size <= count) break;
      loaded.delete(oldest);
    }
    return entry;
  }

  // Once the photos on screen are loaded, loads those that may be needed next, in order; then has
  // the server prepare later ones.
  async prefetch(shown, next, later) {
    this.#abandon([...shown, ...next]);
    this.wanted = next; // a later call replaces it while this one waits
    await Promise.all(shown.map((photo) => this.large(photo).done));
    if (this.wanted !== next) return;
    await Promise.all(next.map((photo) => this.large(photo, "low").done));
    for (const photo of later) if (this.wanted === next) await this.#draw(photo);
  }

  // Has the server draw and cache a picture, which takes far longer than sending it. It requests
  // one at a time and does not decode it here, so nothing else is held up.
  async #draw(photo) {
    const url = this.url(photo, LARGE_PX);
    if (this.larges.has(url) || this.drawn.has(url)) return;
    try {
      const response = await fetch(url, { priority: "low" });
      await response.arrayBuffer(); // otherwise the browser would not cache it
      this.drawn.add(url);
    } catch {
      // retried when needed
    }
  }

  // Stops loading photos that are no longer needed, because they would delay the others.
  #abandon(wanted) {
    const urls = new Set(wanted.map((photo) => this.url(photo, LARGE_PX)));
    for (const [url, { image, ready }] of this.larges) {
      if (ready || urls.has(url)) continue;
      this.larges.delete(url);
      image.removeAttribute("src");
    }
  }
}
