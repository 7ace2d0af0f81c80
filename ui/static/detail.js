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
    if (asked.close) trigger("close_photo", {});
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

watch("value", () => {
  document.body.classList.toggle("has-detail", Boolean(root()));
  if (root())
    document.dispatchEvent(new CustomEvent("bestshot:shown", { detail: root().dataset.photo }));
});
