// The keyboard of the whole page, and the cards of the gallery.
let focused = null; // the photo that keys act on
let asked = null; // the photo that was asked for in large and does not show yet

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

element.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (!card) return;
  focus(card.dataset.photo, false);
  const decision = event.target.dataset.decision;
  if (decision) trigger("decide", { photo: card.dataset.photo, decision });
  else open(card.dataset.photo);
});

function pressed(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", pressed);
  const typing = event.target.closest("input, textarea, select, [contenteditable=true]");
  const shown = element.offsetParent !== null || detail();
  if (typing || !shown || event.ctrlKey || event.metaKey || event.altKey) return;
  const photo = focused;
  const actions = {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    ArrowDown: () => (detail() ? step(1) : row_step(1)),
    ArrowUp: () => (detail() ? step(-1) : row_step(-1)),
    Enter: () => photo && !detail() && open(photo),
    Escape: () => detail() && trigger("close_photo", {}),
    k: () => photo && trigger("decide", { photo, decision: "keep" }),
    x: () => photo && trigger("decide", { photo, decision: "reject" }),
    u: () => trigger("undo", {}),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
document.addEventListener("keydown", pressed);
document.addEventListener("bestshot:shown", (event) => {
  if (asked && asked !== event.detail) return; // a later one is on its way
  asked = null;
  focus(event.detail, true);
});
document.addEventListener("bestshot:step", (event) => step(event.detail));
watch("value", () => focus(focused, false));
