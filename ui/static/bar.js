// The album, run, tab, filter and photo in the page's address, so that Reload, Back and a copied
// link return to them.
const NAMES = { "Run Pipeline": "run-pipeline", "View Results": "view-results", "Metrics Table": "metrics-table", Export: "export",
  Albums: "albums", Run: "run", "What if": "what-if", Compare: "compare", Decisions: "decisions", Models: "models" };

element.addEventListener("change", (event) => {
  const { choose } = event.target.dataset;
  if (choose === "album") trigger("choose_album", { album: event.target.value });
  if (choose === "run") trigger("choose_run", { run: event.target.value });
});

function write(changes, push = false) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  const search = query.toString();
  if (search === location.search.slice(1)) return;
  const url = `${location.pathname}${search ? `?${search}` : ""}`;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

watch("value", () => {
  const { album, run } = element.querySelector(".bar").dataset;
  if (album) write({ album, run });
});

document.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) write({ tab: NAMES[tab.textContent.trim()] });
});

// Back closes a photo that was opened; switching to another photo adds no step to the history.
let opened = new URLSearchParams(location.search).get("photo") ?? "";
document.addEventListener("bestshot:opened", ({ detail }) => {
  write({ photo: detail }, Boolean(detail) && !opened);
  opened = detail;
});
window.addEventListener("popstate", () => {
  const photo = new URLSearchParams(location.search).get("photo") ?? "";
  if (photo === opened) return;
  opened = photo;
  document.dispatchEvent(new CustomEvent("bestshot:go", { detail: photo }));
});
