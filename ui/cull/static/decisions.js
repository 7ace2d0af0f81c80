// What the user decides: it shows at once, goes to the queue, and can be undone and redone.

import { Album } from "./album.js";
import { newId } from "./identity.js";

export class Decisions {
  // `shown(photos)` is called with photos whose decision looks different now.
  constructor(album, queue, shown) {
    this.album = album;
    this.queue = queue;
    this.shown = shown;
    this.undoable = []; // steps: {photo, entries: [{id, before}]}
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

  keepOnly(photo) {
    const others = photo.at.photos.filter((other) => other !== photo);
    this.#step(photo, [["keep", [photo]], ["reject", others]]);
  }

  // Decides on many photos in one step: [["keep", photos], ["reject", photos]].
  decideAll(actions) {
    const photo = actions.flatMap(([, photos]) => photos)[0];
    if (photo) this.#step(photo, actions);
  }

  // Accepts the machine's choice for every undecided shot of a moment. While a decision about the
  // moment is on its way the machine may be choosing again, so that choice is awaited.
  accept(moment) {
    if (moment.photos.some((photo) => photo.unsaved)) this.deferred.push(moment);
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
      .map(([action, photos]) => this.#decide(action, photos));
    if (!entries.length) return;
    this.undoable.push({ photo, entries });
    this.redoable = [];
  }

  #decide(action, photos) {
    const decision = action === "clear" ? "" : action;
    const before = photos.map((photo) => [photo, Album.decision(photo)]);
    const id = this.#add({ action, photos: photos.map(named) });
    this.#show(id, photos.map((photo) => [photo, decision]));
    return { id, before };
  }

  #add(values) {
    const entry = { id: newId(), photos: [], undone_id: "", ...values };
    entry.create_time = new Date().toISOString();
    this.queue.add(entry);
    return entry.id;
  }

  #show(id, decided) {
    for (const [photo, decision] of decided) photo.unsaved = { id, decision };
    this.shown(decided.map(([photo]) => photo));
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
    const entries = step.entries.toReversed().map(({ id, before }) => {
      const now = before.map(([photo]) => [photo, Album.decision(photo)]);
      const undoId = this.#add({ action: "undo", undone_id: id });
      this.#show(undoId, before);
      return { id: undoId, before: now };
    });
    to.push({ photo: step.photo, entries });
    return step.photo;
  }

  // The server has stored entries, and says which photos of the run changed.
  settle(entries, changed, since) {
    const ids = new Set(entries.map((entry) => entry.id));
    const settled = this.album.photos.filter((photo) => photo.unsaved && ids.has(photo.unsaved.id));
    for (const photo of settled) {
      if (photo.followed <= since) photo.decision = photo.unsaved.decision;
      photo.unsaved = null;
    }
    this.shown([...new Set([...settled, ...this.album.update(changed, since)])]);
    const ready = this.deferred.filter((moment) => !moment.photos.some((photo) => photo.unsaved));
    this.deferred = this.deferred.filter((moment) => !ready.includes(moment));
    ready.forEach((moment) => this.#accept(moment));
  }

  // The server will never store these entries, for example because another tab has undone one.
  drop(entries) {
    const ids = new Set(entries.map((entry) => entry.id));
    const dropped = this.album.photos.filter((photo) => photo.unsaved && ids.has(photo.unsaved.id));
    for (const photo of dropped) photo.unsaved = null;
    this.shown(dropped);
    this.settle([], [], this.album.eventCount);
  }

  // Shows entries that another tab of this browser left behind.
  adopt(entries) {
    for (const { id, action, photos } of entries) {
      const known = photos.map(({ path }) => this.album.byPath.get(path)).filter(Boolean);
      this.#show(id, known.map((photo) => [photo, action === "clear" ? "" : action]));
    }
  }
}

function named(photo) {
  return { content_digest: photo.digest, path: photo.path };
}
