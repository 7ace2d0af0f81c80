// Pictures of photos, loaded and decoded before they are needed.

export const LARGE_PX = 2048;
const MEDIUM_PX = 1024; // made by the run, so that no photo has to be decoded first
const SMALL_PX = 320;
const FACE_PX = 256;
const MAX_ROWS = 40;
const MAX_LARGE = 24; // about 12 MB each once decoded
const MAX_MEDIUM = 48; // about 3 MB each
const MEDIUM_AHEAD_COUNT = 20;

export class Pictures {
  constructor(runId) {
    this.runId = runId;
    this.larges = new Map(); // URL -> {image, ready, done}, most recently used last
    this.mediums = new Map();
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
    if (Math.max(photo.width, photo.height) <= MEDIUM_PX) return this.medium(photo, priority);
    return this.#load(this.larges, MAX_LARGE, this.url(photo, LARGE_PX), priority);
  }

  // Loads a photo at a size that takes the server almost no time.
  medium(photo, priority = "high") {
    return this.#load(this.mediums, MAX_MEDIUM, this.url(photo, MEDIUM_PX), priority);
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

  // Loads the photos that may be needed next, in order: many at medium size, and once those on
  // screen are sharp, the first few at screen size. Then it has the server prepare later ones.
  async prefetch(shown, next, later) {
    this.#abandon(shown, next, later);
    this.wanted = next; // a later call replaces this list, which stops the current one
    for (const photo of next) this.medium(photo, "low");
    const load = async (photos, start) => {
      for (const photo of photos) if (this.wanted === next) await start(photo);
    };
    const large = (photo) => this.large(photo, "low").done;
    const waiting = next.values(); // shared by two loops; more would delay the photos after a jump
    const sharpen = async () => {
      await Promise.all(shown.map((photo) => this.large(photo).done));
      await Promise.all([load(waiting, large), load(waiting, large)]);
    };
    const ahead = later.slice(0, MEDIUM_AHEAD_COUNT);
    await Promise.all([sharpen(), load(ahead, (photo) => this.medium(photo, "low").done)]);
    for (const photo of later) if (this.wanted !== next || !(await this.#draw(photo))) return;
  }

  // Has the server draw and cache a picture, which takes far longer than sending it. Pictures are
  // requested one at a time and not decoded here, so nothing else is held up. Returns false if the
  // server is down: requests for dozens of photos at each key would not help it to come back.
  async #draw(photo) {
    const url = this.url(photo, LARGE_PX);
    if (this.larges.has(url) || this.drawn.has(url)) return true;
    try {
      const response = await fetch(url, { priority: "low" });
      await response.arrayBuffer(); // otherwise the browser would not cache it
      if (response.status >= 500) return false;
      this.drawn.add(url);
      return true;
    } catch {
      return false; // retried when needed
    }
  }

  // Stops loading photos that are no longer needed, because they would delay the others.
  #abandon(shown, next, later) {
    const urls = (photos, longSide) => photos.map((photo) => this.url(photo, longSide));
    const wanted = new Set([
      ...urls([...shown, ...next], LARGE_PX),
      ...urls([...shown, ...next, ...later], MEDIUM_PX),
    ]);
    for (const loading of [this.mediums, this.larges]) {
      for (const [url, { image, ready }] of loading) {
        if (ready || wanted.has(url)) continue;
        loading.delete(url);
        image.removeAttribute("src");
      }
    }
  }
}
