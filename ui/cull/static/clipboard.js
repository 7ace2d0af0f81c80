// Copies the page's address.

// The clipboard is not available to pages served over plain HTTP by another host.
export async function copyAddress() {
  const done = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  if (!done) window.prompt("Copy this link:", location.href);
  return Boolean(done);
}
