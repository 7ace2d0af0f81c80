// What the user decides: it shows at once, goes to the queue, and can be undone and redone.

import { Album } from "./album.js";
import { newId } from "./identity.js";

export class Decisions {
  // `shown(photos)` is called with photos whose decision looks different now.
  constructor(album, queue, shown) {
    this.album = album;
    this.queue = queue;
    this.shown = shown;
    this.undoable = []; // steps: {photo, entries: [{id, field, before}]}
    this.redoable = [];
    this.deferred = []; // moments to accept once the server has chosen again
  }

  // Not stored yet, moments that wait to be accepted included.
  get unsaved() {
    return this.queue.count + this.deferred.length;
  }

  keep(photo) {
    this.#step(photo, [["keep", [photo]]]);
  }

  reject(photo) {
    this.#step(photo, [["reject", [photo]]]);
  }

  clear(photo) {
    if (Album.decision(photo)) this.#step(photo, [["clear", [photo]]]);
  }

  // Gives a photo 1 to 5 stars; 0 removes them.
  rate(photo, stars) {
    if (Album.get(photo, "stars") !== stars) this.#step(photo, [["rate", [photo], { stars }]]);
  }

  // Gives a photo a label, or removes it if it has that label.
  toggleLabel(photo, chosen) {
    const label = Album.get(photo, "label") === chosen ? "" : chosen;
    this.#step(photo, [["label", [photo], { label }]]);
  }

  keepOnly(photo) {
    const others = photo.at.photos.filter((other) => other !== photo);
    this.#step(photo, [["keep", [photo]], ["reject", others]]);
  }

  // Accepts the machine's choice for every undecided shot of a moment. While a decision about the
  // moment is on its way the machine may be choosing again, so that choice is awaited.
  accept(moment) {
    if (isBeingDecided(moment)) this.deferred.push(moment);
    else this.#accept(moment);
  }

  #accept(moment) {
    const undecided = moment.photos.filter((photo) => !Album.decision(photo));
    const picks = undecided.filter((photo) => photo.picked);
    const others = undecided.filter((photo) => !photo.picked);
    this.#step(moment.photos[0], [["keep", picks], ["reject", others]]);
  }

  #step(photo, actions) {
    const entries = actions
      .filter(([, photos]) => photos.length)
      .map(([action, photos, values]) => this.#decide(action, photos, values));
    if (!entries.length) return;
    this.undoable.push({ photo, entries });
    this.redoable = [];
  }

  #decide(action, photos, values = {}) {
    const { field, value } = changeOf({ action, ...values });
    const before = photos.map((photo) => [photo, Album.get(photo, field)]);
    const id = this.#add({ action, photos: photos.map(named), ...values });
    this.#show(id, field, photos.map((photo) => [photo, value]));
    return { id, field, before };
  }

  #add(values) {
    const entry = { id: newId(), photos: [], undone_id: "", ...values };
    entry.create_time = new Date().toISOString();
    this.queue.add(entry);
    return entry.id;
  }

  #show(id, field, changed) {
    for (const [photo, value] of changed) photo.unsaved[field] = { id, value };
    this.shown(changed.map(([photo]) => photo));
  }

  // Takes back the last step of this tab; returns its photo, or nothing.
  undo() {
    return this.#takeBack(this.undoable, this.redoable);
  }

  redo() {
    return this.#takeBack(this.redoable, this.undoable);
  }

  #takeBack(from, to) {
    const step = from.pop();
    if (!step) return undefined;
    const entries = step.entries.toReversed().map(({ id, field, before }) => {
      const now = before.map(([photo]) => [photo, Album.get(photo, field)]);
      const undoId = this.#add({ action: "undo", undone_id: id });
      this.#show(undoId, field, before);
      return { id: undoId, field, before: now };
    });
    to.push({ photo: step.photo, entries });
    return step.photo;
  }

  // The server has stored entries, and says which photos of the run changed.
  settle(entries, changed, since) {
    const settled = this.#unsavedOf(entries);
    for (const [photo, field] of settled) {
      if (photo.followed <= since) photo[field] = photo.unsaved[field].value;
      delete photo.unsaved[field];
    }
    const photos = settled.map(([photo]) => photo);
    this.shown([...new Set([...photos, ...this.album.update(changed, since)])]);
    const ready = this.deferred.filter((moment) => !isBeingDecided(moment));
    this.deferred = this.deferred.filter((moment) => !ready.includes(moment));
    ready.forEach((moment) => this.#accept(moment));
  }

  // The server will never store these entries, for example because another tab has undone one.
  drop(entries) {
    const dropped = this.#unsavedOf(entries);
    for (const [photo, field] of dropped) delete photo.unsaved[field];
    this.shown(dropped.map(([photo]) => photo));
    this.settle([], [], this.album.eventCount);
  }

  // The values that wait for entries, as [photo, field].
  #unsavedOf(entries) {
    const ids = new Set(entries.map((entry) => entry.id));
    return this.album.photos.flatMap((photo) =>
      Object.entries(photo.unsaved)
        .filter(([, { id }]) => ids.has(id))
        .map(([field]) => [photo, field]),
    );
  }

  // Shows entries that another tab of this browser left behind.
  adopt(entries) {
    for (const entry of entries) {
      const known = entry.photos.map(({ path }) => this.album.byPath.get(path)).filter(Boolean);
      const { field, value } = changeOf(entry);
      this.#show(entry.id, field, known.map((photo) => [photo, value]));
    }
  }
}

// What an entry does to its photos.
function changeOf({ action, stars, label }) {
  if (action === "rate") return { field: "stars", value: stars };
  if (action === "label") return { field: "label", value: label };
  return { field: "decision", value: action === "clear" ? "" : action };
}

function isBeingDecided(moment) {
  return moment.photos.some((photo) => photo.unsaved.decision);
}

function named(photo) {
  return { content_digest: photo.digest, path: photo.path };
}
