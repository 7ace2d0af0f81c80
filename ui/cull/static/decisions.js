// The user's decisions: they are shown at once, go to the queue, and can be undone and redone.

import { newId } from "./identity.js";
import { Photos } from "./photos.js";

const REGROUPING = ["move", "split", "merge"];

export class Decisions {
  // `shown(photos)` is called with photos whose displayed decision has changed.
  // `regrouped()` is called when moments have changed.
  constructor(album, queue, { shown, regrouped }) {
    this.album = album;
    this.queue = queue;
    this.shown = shown;
    this.regrouped = regrouped;
    this.undoable = []; // steps: {photo, entries: [{id, field, before} or {id, groups}]}
    this.redoable = [];
    this.regrouping = new Set(); // ids of entries about moments that are not stored yet
    this.deferred = []; // moments to accept once the server has selected again
  }

  // Counts what is not stored yet, including moments waiting to be accepted.
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
    if (Photos.decision(photo)) this.#step(photo, [["clear", [photo]]]);
  }

  // Gives a photo 1 to 5 stars; 0 removes them.
  rate(photo, stars) {
    if (Photos.get(photo, "stars") !== stars) this.#step(photo, [["rate", [photo], { stars }]]);
  }

  // Gives a photo a label, or removes it if it has that label.
  toggleLabel(photo, chosen) {
    const label = Photos.get(photo, "label") === chosen ? "" : chosen;
    this.#step(photo, [["label", [photo], { label }]]);
  }

  // Splits a moment before a shot, unless it is the first shot.
  split(photo) {
    const { photos } = photo.at;
    const first = photos.indexOf(photo);
    if (!first) return false;
    const groups = this.album.groups();
    groups.splice(photo.at.number - 1, 1, photos.slice(0, first), photos.slice(first));
    this.#regroup(photo, { action: "split", photos: photos.slice(first).map(named) }, groups);
    return true;
  }

  // Merges a shot's moment with the next one, if there is one.
  merge(photo) {
    const next = this.album.momentAfter(photo.at, 1);
    if (!next) return false;
    const groups = this.album.groups();
    groups.splice(photo.at.number - 1, 2, [...photo.at.photos, ...next.photos]);
    this.#regroup(photo, { action: "merge", photos: [photo, next.photos[0]].map(named) }, groups);
    return true;
  }

  // Moves a shot to the near end of another moment.
  move(photo, moment) {
    if (!moment || moment === photo.at) return false;
    const groups = this.album.groups();
    const target = groups[moment.number - 1];
    if (moment.number > photo.at.number) target.unshift(photo);
    else target.push(photo);
    const left = photo.at.photos.filter((other) => other !== photo);
    groups[photo.at.number - 1] = left;
    const place = named(moment.photos[0]);
    this.#regroup(photo, { action: "move", photos: [named(photo)], target: place }, groups);
    return true;
  }

  #regroup(photo, values, groups) {
    const before = this.album.groups();
    const id = this.#add(values);
    this.#arrange(id, groups);
    this.undoable.push({ photo, entries: [{ id, groups: before }] });
    this.redoable = [];
  }

  #arrange(id, groups) {
    this.regrouping.add(id);
    this.album.arrange(groups);
    this.regrouped();
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
  // moment is in transit, the machine may be selecting again, so this waits for the new choice.
  accept(moment) {
    if (this.#isBeingDecided(moment)) this.deferred.push(moment);
    else this.#accept(moment);
  }

  #accept(moment) {
    const undecided = moment.photos.filter((photo) => !Photos.decision(photo));
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
    const before = photos.map((photo) => [photo, Photos.get(photo, field)]);
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

  // Undoes the last step of this tab; returns its photo, if any.
  undo() {
    return this.#takeBack(this.undoable, this.redoable);
  }

  redo() {
    return this.#takeBack(this.redoable, this.undoable);
  }

  #takeBack(from, to) {
    const step = from.pop();
    if (!step) return undefined;
    const entries = step.entries.toReversed().map(({ id, field, before, groups }) => {
      if (groups) {
        const now = this.album.groups();
        const undoId = this.#add({ action: "undo", undone_id: id });
        this.#arrange(undoId, groups);
        return { id: undoId, groups: now };
      }
      const now = before.map(([photo]) => [photo, Photos.get(photo, field)]);
      const undoId = this.#add({ action: "undo", undone_id: id });
      this.#show(undoId, field, before);
      return { id: undoId, field, before: now };
    });
    to.push({ photo: step.photo, entries });
    return step.photo;
  }

  // Handles entries that the server has stored, and the photos in the run that changed.
  settle(entries, changed, since) {
    for (const { id } of entries) this.regrouping.delete(id);
    const settled = this.#unsavedOf(entries);
    for (const [photo, field] of settled) {
      if (photo.followed <= since) photo[field] = photo.unsaved[field].value;
      delete photo.unsaved[field];
    }
    const photos = settled.map(([photo]) => photo);
    this.shown([...new Set([...photos, ...this.album.update(changed, since)])]);
    const ready = this.deferred.filter((moment) => !this.#isBeingDecided(moment));
    this.deferred = this.deferred.filter((moment) => !ready.includes(moment));
    ready.forEach((moment) => this.#accept(moment));
  }

  // Handles entries that the server refuses, for example because another tab has undone one.
  drop(entries) {
    for (const { id } of entries) this.regrouping.delete(id);
    const dropped = this.#unsavedOf(entries);
    for (const [photo, field] of dropped) delete photo.unsaved[field];
    this.shown(dropped.map(([photo]) => photo));
    this.settle([], [], this.album.eventCount);
  }

  #isBeingDecided(moment) {
    return this.regrouping.size > 0 || moment.photos.some((photo) => photo.unsaved.decision);
  }

  // Returns the values that depend on unstored entries, as [photo, field].
  #unsavedOf(entries) {
    const ids = new Set(entries.map((entry) => entry.id));
    return [...this.album.byPath.values()].flatMap((photo) =>
      Object.entries(photo.unsaved)
        .filter(([, { id }]) => ids.has(id))
        .map(([field]) => [photo, field]),
    );
  }

  // Shows entries that another tab of this browser left behind.
  adopt(entries) {
    for (const entry of entries.filter(({ action }) => !REGROUPING.includes(action))) {
      const known = entry.photos.map(({ path }) => this.album.byPath.get(path)).filter(Boolean);
      const { field, value } = changeOf(entry);
      this.#show(entry.id, field, known.map((photo) => [photo, value]));
    }
  }
}

// Returns the effect of an entry on its photos.
function changeOf({ action, stars, label }) {
  if (action === "rate") return { field: "stars", value: stars };
  if (action === "label") return { field: "label", value: label };
  return { field: "decision", value: action === "clear" ? "" : action };
}

function named(photo) {
  return { content_digest: photo.digest, path: photo.path };
}
