// Reloads the page if part of it could not be loaded, for example because the network changed at
// that moment. Otherwise a page whose modules are missing would stay empty.

{
  const LIMIT = 5;
  const WAIT_MS = 1000;
  const PLACE = "bestshot reloads";

  function reload() {
    const count = Number(sessionStorage.getItem(PLACE)) + 1;
    if (count > LIMIT) return;
    sessionStorage.setItem(PLACE, count);
    setTimeout(() => location.reload(), WAIT_MS);
  }

  addEventListener("error", ({ target }) => target?.localName === "script" && reload(), true);
  addEventListener("bestshot:unreachable", reload);
  addEventListener("bestshot:loaded", () => sessionStorage.removeItem(PLACE));
}
