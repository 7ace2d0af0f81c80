// Pictures of faces, and the addresses of their photos.

import { element } from "/cull/files/elements.js";

const FACE_PX = 256;

// Shows a face; a photo whose album was deleted no longer has a picture.
export function facePicture(face, alt) {
  if (!face.run) return element("span", { class: "lost", text: "album deleted" });
  const path = face.path.split("/").map(encodeURIComponent).join("/");
  const src = `/photos/${encodeURIComponent(face.run)}/${FACE_PX}/${path}?face=${face.box.join(",")}`;
  return element("img", { loading: "lazy", decoding: "async", draggable: "false", src, alt });
}

export function photoAddress({ album, run, path }) {
  return `/cull/${encodeURIComponent(album)}/${encodeURIComponent(run)}?${new URLSearchParams({ photo: path })}`;
}

export function place({ digest, box }) {
  return { digest, box };
}
