// The address of what is shown, so that Reload, Back and a copied link return to it.

const QUIET_MS = 200; // browsers reject changes that come too fast

let timer;

export function readAddress() {
  const [, , albumId, runId] = location.pathname.split("/").map(decodeURIComponent);
  const photo = new URLSearchParams(location.search).get("photo");
  return { albumId, runId, photo };
}

// Returns the address of a run's results on the main page.
export function resultsAddress({ albumId, runId }) {
  return `/?${new URLSearchParams({ album: albumId, run: runId, tab: "view-results" })}`;
}

// Puts a photo into the address, by default after a short delay.
export function writeAddress(photo, wait = QUIET_MS) {
  clearTimeout(timer);
  const write = () => {
    const query = new URLSearchParams({ moment: photo.at.number, photo: photo.path });
    history.replaceState(null, "", `${location.pathname}?${query}`);
  };
  if (wait) timer = setTimeout(write, wait);
  else write();
}
