// Keyboard shortcuts for the whole page, and the cards of the gallery.
const marked = new Set(); // photos that are marked for split, merge or move
let focused = null; // the photo that keys act on
let asked = null; // the photo whose detail view was requested but is not shown yet

const cards = () => [...element.querySelectorAll(".card")];
const detail = () => document.querySelector(".detail");

function focus(photo, scroll) {
  focused = photo;
  for (const card of cards()) {
    const is_it = card.dataset.photo === photo;
    card.classList.toggle("focused", is_it);
    if (is_it && scroll) card.scrollIntoView({ block: "nearest" });
  }
}

function step(by) {
  const all = cards();
  const at = all.findIndex((card) => card.dataset.photo === focused);
  const next = all[at < 0 ? 0 : at + by];
  if (!next) return;
  focus(next.dataset.photo, true);
  if (detail()) open(next.dataset.photo);
}

function open(photo) {
  asked = photo;
  trigger("open_photo", { photo });
}

function row_step(by) {
  const all = cards();
  const at = all.find((card) => card.dataset.photo === focused);
  if (!at) return step(1);
  const here = at.getBoundingClientRect();
  const rows = all.filter((card) => {
    const top = card.getBoundingClientRect().top;
    return by > 0 ? top > here.top + 5 : top < here.top - 5;
  });
  if (!rows.length) return;
  const tops = rows.map((card) => card.getBoundingClientRect().top);
  const row = by > 0 ? Math.min(...tops) : Math.max(...tops);
  const near = rows.filter((card) => Math.abs(card.getBoundingClientRect().top - row) < 5);
  near.sort((a, b) =>
    Math.abs(a.getBoundingClientRect().left - here.left) -
    Math.abs(b.getBoundingClientRect().left - here.left));
  focus(near[0].dataset.photo, true);
}

function show_marked() {
  for (const card of cards()) {
    const button = card.querySelector(".mark");
    if (button) button.setAttribute("aria-pressed", marked.has(card.dataset.photo));
  }
  const bar = element.querySelector(".marked");
  if (!bar) return;
  bar.hidden = !marked.size;
  element.classList.toggle("has-marked", marked.size > 0);
  bar.querySelector(".count").textContent = `${marked.size} marked`;
}

function mark(photo) {
  if (!marked.delete(photo)) marked.add(photo);
  show_marked();
}

function unmark() {
  marked.clear();
  show_marked();
}

function decide(action) {
  if (focused) trigger("decide", { action, photos: [focused], moment_of: "" });
}

function correct(action, moment_of = "") {
  const chosen = [...(marked.size ? marked : [focused])];
  const photos = chosen.filter((photo) => photo && photo !== moment_of);
  if (!photos.length || (action === "merge" && photos.length < 2)) return;
  trigger("decide", { action, photos, moment_of });
  unmark();
}

element.addEventListener("click", (event) => {
  const asked = event.target.dataset;
  const card = event.target.closest(".card");
  if (card) {
    const photo = card.dataset.photo;
    focus(photo, false);
    if (event.target.classList.contains("mark")) mark(photo);
    else if (asked.action) decide(asked.action);
    else open(photo);
  } else if (asked.action) correct(asked.action, asked.target);
  else if (asked.unmark) unmark();
});

function pressed(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", pressed);
  const typing = event.target.closest("input, textarea, select, [contenteditable=true]");
  const shown = element.offsetParent !== null || detail();
  if (typing || !shown || event.ctrlKey || event.metaKey || event.altKey) return;
  const control = event.target.closest("button, a, summary, [role=tab], [role=slider]");
  if (control && (event.key === "Enter" || control.matches("[role=tab], [role=slider]"))) return;
  const photo = focused;
  const actions = {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    ArrowDown: () => (detail() ? step(1) : row_step(1)),
    ArrowUp: () => (detail() ? step(-1) : row_step(-1)),
    Enter: () => photo && !detail() && open(photo),
    Escape: () => detail() && trigger("close_photo", {}),
    k: () => decide("keep"),
    x: () => decide("reject"),
    m: () => photo && !detail() && mark(photo),
    s: () => !detail() && correct("split"),
    g: () => !detail() && correct("merge"),
    v: () => focused && !detail() && correct("move", focused),
    u: () => trigger("undo", {}),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
document.addEventListener("keydown", pressed);
document.addEventListener("bestshot:shown", (event) => {
  if (asked && asked !== event.detail) return; // a newer request is pending
  asked = null;
  focus(event.detail, true);
});
document.addEventListener("bestshot:step", (event) => step(event.detail));
watch("value", () => {
  focus(focused, false);
  show_marked();
});
