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

// Shows a face, or why there is no picture of it.
export function facePicture(face, alt) {
  if (!face.run) return lost("album deleted");
  const address = pictureAddress(face);
  const picture = received.get(address);
  const loading = picture ? "eager" : "lazy";
  const image = element("img", { loading, decoding: "async", draggable: "false", src: picture ?? address, alt });
  image.addEventListener("error", () => image.replaceWith(lost("no picture: the photo cannot be read")));
  return image;
}

function lost(text) {
  return element("span", { class: "lost", text });
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
