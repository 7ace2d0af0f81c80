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

// Follows the album's newest run and the model services. A hidden page does not: browsers allow six
// connections to a server, and every open page would take one.
const RETRY_MS = 1000;
let news, followed, retrying;

function follow() {
  const { album } = element.querySelector(".bar").dataset;
  const wanted = document.hidden ? undefined : album;
  if (news && wanted === followed) return;
  news?.close();
  clearTimeout(retrying);
  news = undefined;
  followed = wanted;
  if (wanted === undefined) return;
  news = new EventSource(`/news?${new URLSearchParams({ album: wanted })}`);
  news.addEventListener("run", () => trigger("run_news"));
  news.addEventListener("models", () => trigger("models_news"));
  news.onerror = () => {
    if (news.readyState !== EventSource.CLOSED) return; // the browser connects again
    news = undefined;
    retrying = setTimeout(follow, RETRY_MS);
  };
}
document.addEventListener("visibilitychange", follow);
follow();

watch("value", () => {
  const { album, run } = element.querySelector(".bar").dataset;
  if (album) write({ album, run });
  follow();
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
