// Handles clicks on the rows and headings of a table, and on photos in a strip.
element.addEventListener("click", (event) => {
  const order = event.target.closest("[data-order]");
  const photo = event.target.closest("[data-photo]");
  const folder = event.target.closest("[data-folder]");
  const album = event.target.closest("[data-album]");
  if (order) trigger("order", { order: order.dataset.order });
  else if (photo) trigger("open_photo", { photo: photo.dataset.photo });
  else if (folder) trigger("browse", { folder: folder.dataset.folder });
  else if (album) trigger("choose", { album: album.dataset.album });
});
element.addEventListener("change", (event) => {
  if (event.target.dataset.choose === "run") trigger("choose_run", { run: event.target.value });
});
