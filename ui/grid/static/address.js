// The address of what the grid shows, so that Reload, Back and a copied link return to it.

export function readAddress() {
  const [, , albumId, runId] = location.pathname.split("/").map(decodeURIComponent);
  const query = new URLSearchParams(location.search);
  const filters = (query.get("filter") ?? "").split(",").filter(Boolean);
  const text = (name) => query.get(name) ?? "";
  return {
    albumId,
    runId,
    photo: text("photo"),
    wanted: { filters, search: text("search"), person: text("person"), camera: text("camera"), date: text("date") },
  };
}

// `isStep` is whether Back should return to the previous view.
export function writeAddress({ filters, search, person, camera, date }, photo, isStep) {
  const values = { filter: filters.join(","), search, person, camera, date, photo };
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  const url = `${location.pathname}${query.size ? `?${query}` : ""}`;
  if (url === `${location.pathname}${location.search}`) return;
  if (isStep) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}
