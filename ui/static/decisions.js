// Undoes an entry in the log.
element.addEventListener("click", (event) => {
  const entry = event.target.dataset.entry;
  if (entry) trigger("take_back", { entry });
});
