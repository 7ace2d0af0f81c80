// Starts the grid and carries out the user's actions.

import { resultsAddress } from "/cull/files/address.js";
import { copyAddress } from "/cull/files/clipboard.js";
import { Decisions } from "/cull/files/decisions.js";
import { byId, element, plural } from "/cull/files/elements.js";
import { notify, showSaving, tell } from "/cull/files/notices.js";
import { Photos } from "/cull/files/photos.js";
import { Pictures } from "/cull/files/pictures.js";
import { Queue } from "/cull/files/queue.js";
import { Regrouped } from "/cull/files/regrouped.js";
import { Stream } from "/cull/files/stream.js";
import { readAddress, writeAddress } from "./address.js";
import { neighbour } from "./layout.js";
import { Tiles } from "./tiles.js";

const FIRST_COUNT = 200; // enough to fill a screen, and quick to load
const PAGE_COUNT = 1000;
const TYPING_MS = 150;
const COUNTS_MS = 1000;
const PREVIEW_COUNT = 40;
const STEP_PX = 24;
const SIZE_PLACE = "bestshot grid size";

class Grid {
  constructor({ albumId, runId, photo, wanted }, summary) {
    this.url = `/grid/${encodeURIComponent(albumId)}/${encodeURIComponent(runId)}`;
    this.cullUrl = this.url.replace("/grid/", "/cull/");
    this.wanted = wanted;
    this.anchor = null; // where a range begins
    this.photos = new Photos();
    this.pictures = new Pictures(runId);
    this.tiles = new Tiles(this.pictures, (one) => `${this.cullUrl}?${new URLSearchParams({ photo: one.path })}`);
    this.queue = new Queue(`${this.cullUrl}/decisions`, {
      mark: () => this.photos.eventCount,
      saved: (entries, changed, since) => this.decisions.settle(entries, changed, since),
      refused: (entries, text) => {
        this.decisions.drop(entries);
        notify(`A decision was not stored: ${text}`);
      },
      counted: () => this.#showSaving(),
    });
    this.regrouped = new Regrouped(this.queue.own, () => this.load(this.tiles.current?.path));
    this.stream = new Stream(`${this.cullUrl}/events`, summary.entry_count, (event) => this.#receive(event));
    this.decisions = new Decisions(this.photos, this.queue, {
      shown: () => this.tiles.refresh(),
      regrouped: () => this.load(),
    });
    this.#showSummary(summary);
    byId("to-cull").href = this.cullUrl;
    this.setSize(Number(localStorage.getItem(SIZE_PLACE)) || (innerWidth < 700 ? 180 : 168));
    this.load(photo).then(() => this.decisions.adopt(this.queue.adopt()));
  }

  // Loads the photos that pass the filters, page by page; a later call cancels an earlier one.
  async load(path = "") {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    this.#showFilters();
    const shown = [];
    const known = new Set(); // decisions may shift the pages while they load
    try {
      for (let skip = 0, total = 1; skip < total; ) {
        const count = skip ? PAGE_COUNT : FIRST_COUNT;
        const since = this.photos.eventCount;
        const page = await this.#fetch(this.wanted, skip, count, signal);
        for (const photo of this.photos.add(page.photos, since)) {
          if (!known.has(photo)) shown.push(photo);
          known.add(photo);
        }
        if (!skip) this.tiles.scroller.scrollTop = 0;
        this.tiles.setPhotos(shown);
        this.#showTotal(page.total);
        total = page.total;
        skip += count;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      const isFirst = !document.body.classList.contains("ready");
      if (isFirst && error instanceof TypeError) dispatchEvent(new Event("bestshot:unreachable"));
      notify(`The photos could not be loaded: ${error.message}`);
      return;
    }
    this.#showSelection();
    const photo = this.photos.byPath.get(path);
    if (photo) this.tiles.show(photo, true);
    document.body.classList.add("ready");
    dispatchEvent(new Event("bestshot:loaded"));
  }

  async #fetch({ filters, ...texts }, skip, count, signal) {
    const query = new URLSearchParams({ ...texts, skip, count });
    for (const name of filters) query.append("filters", name);
    return read(`${this.url}/photos?${query}`, signal);
  }

  // Changes the filters and shows the photos that pass them.
  filter(changes, isStep = true) {
    Object.assign(this.wanted, changes);
    writeAddress(this.wanted, "", isStep);
    return this.load();
  }

  toggleChip(name) {
    const { filters } = this.wanted;
    this.filter({ filters: filters.includes(name) ? filters.filter((one) => one !== name) : [...filters, name] });
  }

  setSize(size) {
    const [low, high] = [96, 320];
    const within = Math.min(high, Math.max(low, size));
    byId("size").value = within;
    localStorage.setItem(SIZE_PLACE, within);
    this.tiles.resize(within);
    this.tiles.size = within;
  }

  // Selecting

  get chosen() {
    const { selected, current, photos } = this.tiles;
    if (!selected.size) return current && !current.error ? [current] : [];
    return photos.filter((photo) => selected.has(photo) && !photo.error);
  }

  toggle(photo) {
    const { selected } = this.tiles;
    if (!selected.delete(photo)) selected.add(photo);
    this.anchor = photo;
    this.#showSelection();
  }

  // Selects everything between the anchor and a photo.
  selectTo(photo) {
    const { indexes, photos, selected, current } = this.tiles;
    this.anchor ??= current;
    const [from, to] = [indexes.get(this.anchor) ?? 0, indexes.get(photo)].sort((a, b) => a - b);
    for (const one of photos.slice(from, to + 1)) selected.add(one);
    this.#showSelection();
  }

  selectAll() {
    for (const photo of this.tiles.photos) this.tiles.selected.add(photo);
    this.#showSelection();
  }

  deselect() {
    this.tiles.selected.clear();
    this.anchor = null;
    this.#showSelection();
  }

  #showSelection() {
    this.tiles.refresh();
    const { size } = this.tiles.selected;
    byId("selection").hidden = !size;
    byId("count").textContent = `${size} selected`;
  }

  // Moves to the photo at an index; with `extends`, selects the photos in between.
  move(index, extendsSelection) {
    const photo = this.tiles.photos[index];
    if (!photo) return;
    if (extendsSelection) {
      this.anchor ??= this.tiles.current;
      this.tiles.selected.clear();
      this.selectTo(photo);
    }
    this.tiles.show(photo, true);
  }

  // Deciding

  decide(action) {
    const photos = this.chosen;
    if (!photos.length) return;
    const wasSelection = this.tiles.selected.size > 0;
    this.decisions.decideAll([[action, photos]]);
    const words = { keep: "kept", reject: "rejected", clear: "cleared" };
    byId("announcer").textContent = `${plural(photos.length, "photo")} ${words[action]}`;
    if (wasSelection) this.deselect();
    else this.move(this.tiles.indexes.get(this.tiles.current) + 1, false);
  }

  takeBack(word) {
    if (this.decisions[word]()) this.tiles.refresh();
    else notify(`There is nothing to ${word}.`);
  }

  // Shows what accepting the picks would do to all undecided photos, whatever the filter.
  async previewAccept() {
    const undecided = [];
    const wanted = { filters: ["undecided"], search: "", person: "", camera: "", date: "" };
    for (let skip = 0, total = 1; skip < total; skip += PAGE_COUNT) {
      const since = this.photos.eventCount;
      const page = await this.#fetch(wanted, skip, PAGE_COUNT);
      undecided.push(...this.photos.add(page.photos, since));
      total = page.total;
    }
    const open = undecided.filter((photo) => !Photos.decision(photo));
    const gained = open.filter((photo) => photo.picked);
    const lost = open.filter((photo) => !photo.picked);
    this.accepted = [["keep", gained], ["reject", lost]];
    byId("preview-text").textContent = open.length
      ? `This keeps ${plural(gained.length, "pick")} and rejects ${lost.length} of the ${plural(open.length, "undecided photo")}. You can undo this in one step.`
      : "You have already decided on every photo.";
    byId("confirm").disabled = !open.length;
    byId("preview-parts").replaceChildren(
      ...this.#part("Kept", "gained", gained),
      ...this.#part("Rejected", "lost", lost),
    );
    byId("preview").showModal();
    byId("preview").scrollTop = 0; // the focus is on the button at the end
  }

  #part(title, kind, photos) {
    if (!photos.length) return [];
    const shown = photos.slice(0, PREVIEW_COUNT);
    const more = photos.length - shown.length;
    return [
      element("h3", { text: `${title}: ${photos.length}` }),
      element(
        "div",
        { class: `strip ${kind}` },
        ...shown.map((photo) =>
          element("img", { src: this.pictures.small(photo), alt: photo.name, title: photo.name, loading: "lazy" })),
        ...(more ? [element("span", { class: "dim", text: `and ${more} more` })] : []),
      ),
    ];
  }

  accept() {
    byId("preview").close();
    this.decisions.decideAll(this.accepted);
  }

  // Showing

  #receive(event) {
    this.photos.follow(event.changed);
    this.tiles.refresh();
    clearTimeout(this.counting);
    this.counting = setTimeout(async () => this.#showSummary(await read(`${this.url}/summary`)), COUNTS_MS);
    this.regrouped.receive(event);
  }

  #showSummary(summary) {
    this.summary = summary;
    byId("album").textContent = summary.album.name;
    byId("run").textContent = summary.run.title;
    document.title = `Grid ${summary.album.name}`;
    this.#showFilters();
  }

  #showFilters() {
    const { filters, search, person, camera, date } = this.wanted;
    const { chips, people, cameras, dates } = this.summary;
    const { chip, person: personId } = document.activeElement?.dataset ?? {};
    byId("chips").replaceChildren(
      ...chips.filter(({ name, count }) => count || filters.includes(name)).map(({ name, title, count }) =>
        element("button", { type: "button", class: "chip", "data-chip": name, "aria-pressed": String(filters.includes(name)) },
          title, element("span", { text: ` ${count}` }))),
      ...people.map(({ id, name, count }) =>
        element("button", { type: "button", class: "chip", "data-person": id, "aria-pressed": String(id === person) },
          name, element("span", { text: ` ${count}` }))),
    );
    const isFocused = ({ dataset }) => dataset.chip === chip && dataset.person === personId;
    if (chip || personId) [...byId("chips").children].find(isFocused)?.focus();
    fill(byId("camera"), "All cameras", cameras, camera);
    fill(byId("date"), "All dates", dates, date);
    if (document.activeElement !== byId("search")) byId("search").value = search;
  }

  #showTotal(total) {
    const { filters, search, person, camera, date } = this.wanted;
    const isFiltered = filters.length || search || person || camera || date;
    byId("total").textContent = plural(total, "photo");
    document.querySelector(".empty")?.remove();
    if (total) return;
    byId("scroller").append(
      element("div", { class: "empty" },
        element("h2", { text: isFiltered ? "No photos match" : "No photos" }),
        element("p", { text: isFiltered ? "Remove a filter, or search for something else." : "This run has no photos." })),
    );
  }

  #showSaving() {
    const { count, problem } = this.queue;
    showSaving(count, problem, "decision");
  }
}

function fill(select, all, values, chosen) {
  select.hidden = values.length < 2 && !chosen;
  select.replaceChildren(
    element("option", { value: "", text: all }),
    ...values.map(({ value, count }) =>
      element("option", { value, text: `${value} (${count})`, selected: value === chosen })),
  );
}

async function read(url, signal) {
  const response = await fetch(url, { signal });
  const answer = await response.json();
  if (!response.ok) throw new Error(String(answer.detail));
  return answer;
}

function listenToKeys(grid) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (byId("preview").open || event.altKey) return;
    if (target.matches("input[type=search]")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (target.matches("input, select")) return;
    const isControl = target.matches("button, header a");
    if (isControl && [" ", "Enter"].includes(event.key)) return;
    const { tiles } = grid;
    const index = tiles.indexes.get(tiles.current);
    const extend = event.shiftKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const withCtrl = { a: () => grid.selectAll(), z: () => grid.takeBack(extend ? "redo" : "undo") };
    const plain = {
      ArrowRight: () => grid.move(index + 1, extend),
      ArrowLeft: () => grid.move(index - 1, extend),
      ArrowDown: () => grid.move(neighbour(tiles.layout, index, 1), extend),
      ArrowUp: () => grid.move(neighbour(tiles.layout, index, -1), extend),
      Home: () => grid.move(0, extend),
      End: () => grid.move(tiles.photos.length - 1, extend),
      " ": () => tiles.current && grid.toggle(tiles.current),
      Escape: () => grid.deselect(),
      Backspace: () => grid.decide("clear"),
      Delete: () => grid.decide("clear"),
      k: () => grid.decide("keep"),
      p: () => grid.decide("keep"),
      x: () => grid.decide("reject"),
      u: () => grid.takeBack(extend ? "redo" : "undo"),
      "/": () => byId("search").focus(),
      "+": () => grid.setSize(tiles.size + STEP_PX),
      "=": () => grid.setSize(tiles.size + STEP_PX),
      "-": () => grid.setSize(tiles.size - STEP_PX),
    };
    const action = event.ctrlKey || event.metaKey ? withCtrl[key] : plain[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function listenToTiles(grid) {
  byId("canvas").addEventListener("click", (event) => {
    const { photo } = event.target.closest(".tile") ?? {};
    if (!photo) return;
    const isCheck = Boolean(event.target.closest(".check"));
    const selects = isCheck || event.shiftKey || grid.tiles.selected.size > 0;
    if (event.ctrlKey || event.metaKey) return; // a new tab
    if (selects || photo.error) event.preventDefault();
    if (event.shiftKey && grid.anchor) grid.selectTo(photo);
    else if (selects) grid.toggle(photo);
    grid.tiles.show(photo, !isCheck);
    if (!selects) writeAddress(grid.wanted, photo.path, false); // for Back
  });
}

function listenToControls(grid) {
  let typing;
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => grid.filter({ search: event.target.value.trim() }, false), TYPING_MS);
  });
  byId("chips").addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (chip?.dataset.chip) grid.toggleChip(chip.dataset.chip);
    else if (chip) grid.filter({ person: grid.wanted.person === chip.dataset.person ? "" : chip.dataset.person });
  });
  byId("camera").addEventListener("change", (event) => grid.filter({ camera: event.target.value }));
  byId("date").addEventListener("change", (event) => grid.filter({ date: event.target.value }));
  byId("size").addEventListener("input", (event) => grid.setSize(Number(event.target.value)));
  byId("undo").addEventListener("click", () => grid.takeBack("undo"));
  byId("copy").addEventListener("click", async () => {
    if (await copyAddress()) notify("Link copied.");
  });
  byId("accept").addEventListener("click", () => grid.previewAccept());
  byId("confirm").addEventListener("click", () => grid.accept());
  byId("cancel").addEventListener("click", () => byId("preview").close());
  byId("selection").addEventListener("click", (event) => {
    const wanted = event.target.closest("button")?.dataset.do;
    if (wanted === "deselect") grid.deselect();
    else if (wanted) grid.decide(wanted);
  });
  window.addEventListener("popstate", () => {
    const { wanted, photo } = readAddress();
    grid.wanted = wanted;
    grid.load(photo);
  });
  window.addEventListener("beforeunload", (event) => {
    if (grid.queue.count) event.preventDefault();
  });
}

async function start() {
  const address = readAddress();
  byId("home").href = resultsAddress(address);
  const place = `/grid/${encodeURIComponent(address.albumId)}/${encodeURIComponent(address.runId)}`;
  const grid = new Grid(address, await read(`${place}/summary`));
  listenToKeys(grid);
  listenToTiles(grid);
  listenToControls(grid);
}

start().catch((error) => {
  // fetch throws a TypeError if it gets no answer
  if (error instanceof TypeError) dispatchEvent(new Event("bestshot:unreachable"));
  tell(byId("scroller"), "The photos could not be loaded", error.message);
});
