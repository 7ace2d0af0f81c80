// Rows and headings of the metrics table. At the end of a page, Page Down goes to the next one.
element.addEventListener("click", (event) => {
  const order = event.target.closest("[data-order]");
  const photo = event.target.closest("[data-photo]");
  if (order) trigger("order", { order: order.dataset.order });
  else if (photo) trigger("open_photo", { photo: photo.dataset.photo });
});

function turn(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", turn);
  const by = { PageDown: 1, PageUp: -1 }[event.key];
  const rows = element.querySelector(".scroll");
  const is_elsewhere = event.target.closest("input, textarea, select") || document.querySelector(".detail");
  if (!by || !rows?.offsetParent || is_elsewhere) return;
  event.preventDefault();
  const left = by > 0 ? rows.scrollHeight - rows.clientHeight - rows.scrollTop : rows.scrollTop;
  if (left > 1) rows.scrollBy({ top: by * 0.9 * rows.clientHeight });
  else trigger("turn", { by });
}
document.addEventListener("keydown", turn);
