// The detail view: zooming both photos together, face boxes, and the photo beside it.
const root = () => element.querySelector(".detail");

element.addEventListener("click", (event) => {
  const panel = root();
  if (!panel) return;
  const photo = panel.dataset.photo;
  const button = event.target.closest("button");
  const canvas = event.target.closest(".canvas");
  if (button) {
    const asked = button.dataset;
    if (asked.copy) copy_link(button);
    else if (asked.close) trigger("close_photo", {});
    else if (asked.step)
      document.dispatchEvent(new CustomEvent("bestshot:step", { detail: Number(asked.step) }));
    else if (asked.action) trigger("decide", { action: asked.action, photos: [photo], moment_of: "" });
    else if (asked.undo) trigger("undo", {});
    else if (asked.faces) panel.classList.toggle("no-faces");
    else if (asked.beside) trigger("beside", { photo, other: asked.beside });
    else if (asked.explain) trigger("explain", { photo, other: panel.dataset.other });
    else if (asked.ask) trigger("ask", { photo, other: panel.dataset.other });
  } else if (canvas) {
    panel.classList.toggle("zoomed");
    look(canvas, event);
  }
});

// The clipboard is not available to pages served over plain HTTP by another host.
async function copy_link(button) {
  const done = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  if (done) button.textContent = "Link copied";
  else window.prompt("Copy this link:", location.href);
}

element.addEventListener("submit", (event) => {
  event.preventDefault();
  const other = new FormData(event.target).get("photo").trim();
  if (other) trigger("beside", { photo: root().dataset.photo, other });
});

element.addEventListener("mousemove", (event) => {
  const canvas = event.target.closest(".canvas");
  if (canvas && root().classList.contains("zoomed")) look(canvas, event);
});

function look(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const panel = root();
  panel.style.setProperty("--x", `${(100 * (event.clientX - box.left)) / box.width}%`);
  panel.style.setProperty("--y", `${(100 * (event.clientY - box.top)) / box.height}%`);
}

let before = null; // the element that had the focus before the photo was opened

function trap(event) {
  const panel = root();
  if (!element.isConnected) return document.removeEventListener("keydown", trap);
  if (!panel || event.key !== "Tab") return;
  const stops = [...panel.querySelectorAll("button, input, a[href]")].filter((one) => one.offsetParent);
  const [first, last] = [stops[0], stops.at(-1)];
  const is_outside = !panel.contains(document.activeElement);
  if (event.shiftKey && (is_outside || document.activeElement === first)) last.focus();
  else if (!event.shiftKey && (is_outside || document.activeElement === last)) first.focus();
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", trap);

// Back and Forward open the photo in the address that they lead to.
function go(event) {
  if (!element.isConnected) return document.removeEventListener("bestshot:go", go);
  if (event.detail) trigger("open_photo", { photo: event.detail });
  else trigger("close_photo", {});
}
document.addEventListener("bestshot:go", go);

watch("value", () => {
  const panel = root();
  const was_open = document.body.classList.toggle("has-detail", Boolean(panel));
  const photo = panel?.dataset.photo ?? "";
  document.dispatchEvent(new CustomEvent("bestshot:opened", { detail: photo }));
  if (panel) {
    before ??= document.activeElement;
    if (!panel.contains(document.activeElement)) panel.querySelector("[data-close]").focus();
    document.dispatchEvent(new CustomEvent("bestshot:shown", { detail: photo }));
  } else if (!was_open && before) {
    if (before.isConnected) before.focus();
    before = null;
  }
});
