// Uploads a folder or photos that were dropped or chosen, as a new album. Shows what will be sent and
// what is left out, then sends one request, which the server passes on as it arrives.
const zone = element.querySelector(".drop");
const part = (name) => zone.querySelector(`.${name}`);
const suffixes = new Set(zone.dataset.suffixes.split(" "));
const [file_mb, total_mb] = [Number(zone.dataset.fileMb), Number(zone.dataset.totalMb)];
let chosen = []; // [{path, file}]
let request;

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const size = (bytes) => (bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);
const sum = (files) => files.reduce((total, { file }) => total + file.size, 0);
const say = (text) => (part("state").textContent = text);

// Lists the files below a dropped file or folder; a browser returns a folder's entries in batches.
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.slice(1), file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const one of entries) found.push(...(await walk(one)));
  }
}

function isWanted({ path, file }) {
  const suffix = path.slice(path.lastIndexOf(".")).toLowerCase();
  const isHidden = path.split("/").some((name) => name.startsWith("."));
  return suffixes.has(suffix) && !isHidden && file.size <= file_mb * 1e6;
}

// Shows what would be uploaded. A single folder becomes the album, so its name is not in the paths.
function offer(files) {
  const top = files[0]?.path.includes("/") ? files[0].path.split("/")[0] : "";
  const isOne = top && files.every(({ path }) => path.startsWith(`${top}/`));
  const named = isOne ? files.map(({ path, file }) => ({ path: path.slice(top.length + 1), file })) : files;
  chosen = named.filter(isWanted);
  const large = named.filter(({ file }) => file.size > file_mb * 1e6).length;
  const other = named.length - chosen.length - large;
  const isTooMuch = sum(chosen) > total_mb * 1e6;
  if (!chosen.length) {
    forget();
    return say(isOne ? `There are no photos in ${top}.` : "These files are not photos.");
  }
  part("summary").textContent = `${plural(chosen.length, "file")}, ${size(sum(chosen))}`;
  const notes = [
    ...(other ? [`${plural(other, "other file")} will be left out.`] : []),
    ...(large ? [`${plural(large, "file")} larger than ${file_mb} MB will be left out.`] : []),
    ...(isTooMuch ? [`This is more than ${size(total_mb * 1e6)}: choose fewer, or create an album from a folder on the machine that runs bestshot.`] : []),
  ];
  part("left-out").textContent = notes.join(" ");
  part("left-out").hidden = !notes.length;
  part("name").value = isOne ? top : "";
  part("send").disabled = isTooMuch;
  part("chosen").hidden = false;
  say("");
  part("send").focus();
}

function forget() {
  request?.abort();
  request = undefined;
  chosen = [];
  part("chosen").hidden = true;
  part("chosen").querySelector("progress").hidden = true;
  for (const input of zone.querySelectorAll("input[type=file]")) input.value = "";
}

function fail(text) {
  request = undefined;
  part("chosen").querySelector("progress").hidden = true;
  part("send").disabled = false;
  say(`${text} No album was created; you can try again.`);
}

function send() {
  const files = chosen.map(({ path, file }) => ({ path, size: file.size }));
  const manifest = JSON.stringify({ name: part("name").value, files });
  const bar = part("chosen").querySelector("progress");
  request = new XMLHttpRequest();
  request.open("POST", "/uploads");
  request.responseType = "json";
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    bar.value = loaded / total;
    say(loaded < total ? `${size(loaded)} of ${size(total)} sent` : "Storing the photos…");
  });
  request.addEventListener("error", () => fail("The connection was lost, or a file was changed or removed."));
  request.addEventListener("load", ({ target }) => {
    const { status, response } = target;
    if (status !== 200) return fail(response?.detail ?? `The server responded with ${status}.`);
    forget();
    say("");
    trigger("uploaded", response);
  });
  bar.hidden = false;
  bar.value = 0;
  part("send").disabled = true;
  say("Sending…");
  request.send(new Blob([manifest, "\n", ...chosen.map(({ file }) => file)]));
}

zone.addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("over");
});
for (const end of ["dragleave", "drop"]) zone.addEventListener(end, () => zone.classList.remove("over"));
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  if (request) return;
  // the entries can only be read before the event ends
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  say("Reading the folder…");
  try {
    offer((await Promise.all(entries.map(walk))).flat());
  } catch (error) {
    say(`The folder could not be read: ${error.message}`);
  }
});
zone.addEventListener("click", ({ target }) => {
  if (target.dataset.pick) part(target.dataset.pick).click();
  if (target.matches(".forget")) {
    say(request ? "Cancelled. No album was created." : "");
    forget();
  }
});
for (const input of zone.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    if (files.length) offer(files);
  });
}
part("chosen").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!request) send();
});
window.addEventListener("beforeunload", (event) => {
  if (request) event.preventDefault();
});
