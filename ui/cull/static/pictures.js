// Pictures of photos, loaded and decoded before they are needed.

const LARGE_PX = 2048;
const SMALL_PX = 320;
const MAX_LOADED = 24; // about 20 MB each once decoded

export class Pictures {
  constructor(runId) {
    this.runId = runId;
    this.loaded = new Map(); // URL -> {image, ready}, the last one used most recently
  }

  url(photo, longSide) {
    const path = photo.path.split("/").map(encodeURIComponent).join("/");
    return `/photos/${encodeURIComponent(this.runId)}/${longSide}/${path}`;
  }

  small(photo) {
    return this.url(photo, SMALL_PX);
  }

  // Loads a photo at screen size: {image, ready, done}. `done` resolves to the image once it can be
  // shown without delay, and to nothing if it cannot be loaded.
  large(photo, priority = "high") {
    return this.#load(this.url(photo, LARGE_PX), priority);
  }

  #load(url, priority) {
    const known = this.loaded.get(url);
    if (known) {
      this.loaded.delete(url);
      this.loaded.set(url, known);
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
        this.loaded.delete(url); // tried again when it is needed again
        return undefined;
      },
    );
    this.loaded.set(url, entry);
    for (const oldest of this.loaded.keys()) {
      if (this.loaded.size <= MAX_LOADED) break;
      this.loaded.delete(oldest);
    }
    return entry;
  }

  // Loads photos that may be wanted next, in order of need, after what is shown now.
  prefetch(photos) {
    for (const photo of photos) if (photo) this.large(photo, "low");
  }
}
