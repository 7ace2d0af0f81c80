// Starts the view and carries out its commands.

import { readAddress, resultsAddress, writeAddress } from "./address.js";
import { Album } from "./album.js";
import { copyAddress } from "./clipboard.js";
import { Decisions } from "./decisions.js";
import { byId, plural } from "./elements.js";
import { listenToDrags, listenToGestures } from "./gestures.js";
import { commandOf } from "./keys.js";
import { LABELS } from "./marks.js";
import { notify, tell } from "./notices.js";
import { Photos } from "./photos.js";
import { Pictures } from "./pictures.js";
import { Queue } from "./queue.js";
import { Regrouped } from "./regrouped.js";
import { Search } from "./search.js";
import { Stream } from "./stream.js";
import { Tiles } from "./tiles.js";
import { View } from "./view.js";
import { Zoom } from "./zoom.js";

class Cull {
  constructor(album, runId, url, entryCount) {
    this.album = album;
    this.zoom = new Zoom();
    this.view = new View(album, new Pictures(runId), new Tiles(runId), this.zoom);
    this.pointer = null; // mouse position while over the shots
    this.advances = true;
    this.queue = new Queue(`${url}/decisions`, {
      mark: () => album.eventCount,
      saved: (entries, changed, since) => this.decisions.settle(entries, changed, since),
      refused: (entries, text) => {
        this.decisions.drop(entries);
        notify(`A decision was not stored: ${text}`);
      },
      counted: () => this.#showSaving(),
    });
    this.regrouped = new Regrouped(this.queue.own, () => location.reload());
    this.stream = new Stream(`${url}/events`, entryCount, (event) => this.#receive(event));
    this.decisions = new Decisions(album, this.queue, {
      shown: (photos) => this.view.refresh(photos),
      regrouped: () => this.show(this.photo),
    });
    this.search = new Search(album, (photo) => this.show(photo));
  }

  // Starts at the photo in the address, or at the first undecided one.
  open(path) {
    const undecided = this.album.photos.find((photo) => !Photos.decision(photo));
    this.show(this.album.byPath.get(path) ?? undecided ?? this.album.photos[0]);
    this.decisions.adopt(this.queue.adopt());
    this.#showSaving();
  }

  show(photo) {
    if (!photo) return this.#tellEnd();
    this.photo = photo;
    this.view.show(photo);
    writeAddress(photo);
  }

  // Carries out a command; some commands depend on the key that was pressed.
  run(command, key) {
    const { album, decisions, photo } = this;
    switch (command) {
      case "next": return this.show(album.after(photo, 1));
      case "previous": return photo.index && this.show(album.after(photo, -1));
      case "nextMoment": return this.#goToMoment(1);
      case "previousMoment": return photo.at.number > 1 && this.#goToMoment(-1);
      case "first": return this.show(album.moments[0].photos[0]);
      case "last": return this.show(album.moments.at(-1).photos[0]);
      case "keep": return this.#decide((chosen) => decisions.keep(chosen));
      case "reject": return this.#decide((chosen) => decisions.reject(chosen));
      case "clear": return decisions.clear(photo);
      case "rate":
        decisions.rate(photo, Number(key));
        return this.view.announce(photo);
      case "label":
        decisions.toggleLabel(photo, LABELS[key]);
        return this.view.announce(photo);
      case "split":
        return this.#report(decisions.split(photo), "Split off", "This is the first shot in its moment.");
      case "merge":
        return this.#report(decisions.merge(photo), "Merged", "There is no next moment.");
      case "moveOn": return this.move(photo, album.momentAfter(photo.at, 1));
      case "moveBack": return this.move(photo, album.momentAfter(photo.at, -1));
      case "search": return this.search.open();
      case "accept":
        decisions.accept(photo.at);
        this.#showSaving();
        return this.#goToMoment(1);
      case "keepOnly":
        decisions.keepOnly(photo);
        return this.#goToMoment(1);
      case "undo": return this.#takeBack(decisions.undo(), "undo");
      case "redo": return this.#takeBack(decisions.redo(), "redo");
      case "compare": return this.view.setLayout("compare");
      case "all": return this.view.setLayout("all");
      case "one": return this.view.setLayout("one");
      case "grid": return byId("to-grid").click();
      case "magnify": return this.toggleZoom(this.#pointed() ?? this.#interest());
      case "faces": return this.view.toggleFaces();
      case "regroup": return this.view.toggleRegrouping();
      case "face":
        this.zoom.nextFace(photo);
        return this.renderZoom();
      case "fit": return this.#fit();
      case "advance":
        this.advances = !this.advances;
        return notify(
          this.advances ? "Auto-advance is on." : "Auto-advance is off.",
        );
      case "copy": return this.#copyLink();
      case "help": return byId("keys").showModal();
    }
  }

  photoOf(figure) {
    return this.album.byPath.get(figure.dataset.path);
  }

  renderZoom() {
    this.view.renderZoom();
  }

  // Zooms to 100% at a point of the photo, or shows all of it again.
  toggleZoom(place) {
    if (this.zoom.isFit) this.zoom.magnify(place);
    else this.zoom.fit();
    this.renderZoom();
  }

  move(photo, moment) {
    this.#report(this.decisions.move(photo, moment), "Moved", "There is no moment in that direction.");
  }

  // Reports how the moment changed, or why it did not.
  #report(isDone, what, otherwise) {
    const { number } = this.photo.at;
    notify(isDone ? `${what}: this is now moment ${number}. Press U to undo.` : otherwise);
  }

  // Shows a face at 100%, in all shots.
  showFace(photo, index) {
    this.zoom.showFace(photo, index);
    this.show(photo);
  }

  async #copyLink() {
    writeAddress(this.photo, 0);
    if (await copyAddress()) notify("Link copied.");
  }

  #fit() {
    this.zoom.fit();
    this.renderZoom();
  }

  // Returns the point under the mouse, relative to the photo there.
  #pointed() {
    const { pointer } = this;
    const figure = pointer && document.elementFromPoint(pointer.x, pointer.y)?.closest("figure");
    return figure ? this.zoom.place(figure, this.photoOf(figure), pointer) : undefined;
  }

  // Returns where to zoom first: to the largest face, otherwise to the centre.
  #interest() {
    const [face] = this.photo.faces;
    if (!face) return { x: 0.5, y: 0.5 };
    return { x: face.left + face.width / 2, y: face.top + face.height / 2 };
  }

  #decide(decide) {
    decide(this.photo);
    if (this.advances) this.show(this.album.after(this.photo, 1));
  }

  #goToMoment(by) {
    this.show(this.album.momentAfter(this.photo.at, by)?.photos[0]);
  }

  #takeBack(photo, word) {
    if (photo) this.show(photo);
    else notify(`There is nothing to ${word}.`);
  }

  #tellEnd() {
    const [kept, rejected, undecided] = ["keep", "reject", ""].map((it) => this.album.count(it));
    notify(
      `You have reached the end: ${kept} kept, ${rejected} rejected, ${plural(undecided, "photo")} undecided.`,
    );
  }

  // Handles decisions that were added to the log, including this tab's own.
  #receive(event) {
    this.view.refresh(this.album.follow(event.changed));
    this.regrouped.receive(event);
  }

  #showSaving() {
    this.view.showSaving(this.decisions?.unsaved ?? 0, this.queue.problem);
  }
}

function listen(cull) {
  const dialog = byId("keys");
  document.addEventListener("keydown", (event) => {
    const command = document.querySelector("dialog[open]") ? undefined : commandOf(event);
    if (!command) return;
    event.preventDefault();
    cull.run(command.name, command.key);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.detail) button?.blur(); // otherwise Space would press it again
    const { command, key, face, path } = event.target.closest("[data-command], [data-path]")?.dataset ?? {};
    if (command) cull.run(command, key);
    else if (face) cull.showFace(cull.album.byPath.get(path), Number(face));
    else if (path && button) cull.show(cull.album.byPath.get(path));
  });
  listenToGestures(byId("shots"), cull);
  listenToDrags(byId("strip"), cull);
  byId("close-keys").addEventListener("click", () => dialog.close());
  window.addEventListener("beforeunload", (event) => {
    if (cull.decisions.unsaved) event.preventDefault();
  });
}

async function start() {
  const { albumId, runId, photo } = readAddress();
  byId("home").href = resultsAddress({ albumId, runId });
  const url = `/cull/${encodeURIComponent(albumId)}/${encodeURIComponent(runId)}`;
  const response = await fetch(`${url}/photos`);
  const answer = await response.json();
  if (!response.ok) return tell(byId("main"), "This run cannot be culled", String(answer.detail));
  const album = new Album(answer);
  if (!album.photos.length) return tell(byId("main"), "No photos", "None of this run's photos could be read.");
  byId("to-grid").href = url.replace("/cull/", "/grid/");
  byId("to-pairs").href = url.replace("/cull/", "/pairs/");
  const cull = new Cull(album, runId, url, answer.entry_count);
  cull.open(photo);
  listen(cull);
  document.body.classList.add("ready");
  dispatchEvent(new Event("bestshot:loaded"));
}

start().catch((error) => {
  tell(byId("main"), "The photos could not be loaded", "The server is not responding. Reload the page to try again.");
  if (!(error instanceof TypeError)) throw error; // fetch throws one if it gets no answer
  console.error(error);
  dispatchEvent(new Event("bestshot:unreachable"));
});
