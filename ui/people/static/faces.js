// Pictures of faces, and the addresses of their photos.

import { element } from "/cull/files/elements.js";
import { read } from "./server.js";

const FACE_PX = 256;

const received = new Map(); // pictures that came with the list of persons, by address

// Reads the first persons, with their pictures the first time.
export async function readPersons() {
  const answer = await read(received.size ? "/people/persons" : `/people/persons?covers_px=${FACE_PX}`);
  for (const { cover } of answer.persons) {
    if (cover.picture) received.set(pictureAddress(cover), cover.picture);
  }
  return answer;
}

// Shows a face; a photo whose album was deleted no longer has a picture.
export function facePicture(face, alt) {
  if (!face.run) return element("span", { class: "lost", text: "album deleted" });
  const address = pictureAddress(face);
  const picture = received.get(address);
  const loading = picture ? "eager" : "lazy";
  return element("img", { loading, decoding: "async", draggable: "false", src: picture ?? address, alt });
}

function pictureAddress({ run, path, box }) {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `/photos/${encodeURIComponent(run)}/${FACE_PX}/${encoded}?face=${box.join(",")}`;
}

export function photoAddress({ album, run, path }) {
  return `/cull/${encodeURIComponent(album)}/${encodeURIComponent(run)}?${new URLSearchParams({ photo: path })}`;
}

export function place({ digest, box }) {
  return { digest, box };
}
