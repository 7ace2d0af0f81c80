// The faces strip: a row for each person in the moment, with the state of every face.

import { Photos } from "./photos.js";
import { byId, element } from "./elements.js";
import { findPeople } from "./people.js";

const EYES = { open: "eyes open", closed: "eyes closed", "": "eyes: unknown" };
const SMILE = { smiling: "smiling", not_smiling: "not smiling", "": "smile: unknown" };

// Fills the strip for the moment of a photo.
export function renderFaces(current, pictures) {
  const { photos } = current.at;
  const people = findPeople(photos);
  const rows = people.map((faces, person) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, ...starOf(faces), titleOf(faces, person)),
      ...photos.map((photo) => cell(photo, faces.get(photo), titleOf(faces, person), current, pictures)),
    ),
  );
  byId("faces").classList.toggle("single", photos.length === 1);
  const isKnown = people.some((faces) => [...faces].some(([photo, index]) => photo.faces[index].person));
  const how = isKnown ? "Matched by identity, or by position where that is unknown." : "From left to right, matched by position only.";
  const note = people.length ? "" : "No faces were found in this moment.";
  byId("faces").replaceChildren(
    element("h2", { text: "Faces in this moment" }),
    element("p", { class: "dim", text: note || `${how} Choose a face to see it at 100% in all shots.` }),
    ...(note ? [] : [element("table", {}, element("tbody", {}, ...rows))]),
  );
}

// Returns the person's name, or a number where it is unknown.
function titleOf(faces, person) {
  const names = [...faces].map(([photo, index]) => photo.faces[index].name);
  return names.find(Boolean) || `Face ${person + 1}`;
}

// Returns a mark if the user has marked the person as important.
function starOf(faces) {
  const isImportant = [...faces].some(([photo, index]) => photo.faces[index].important);
  const title = "Important: this person's face counts in group shots";
  return isImportant ? [element("span", { class: "star", role: "img", "aria-label": "Important:", title, text: "★" }), " "] : [];
}

function cell(photo, index, title, current, pictures) {
  const marks = [photo === current ? "current" : "", Photos.decision(photo)].join(" ");
  if (index === undefined) return element("td", { class: `none ${marks}`, text: "no face" });
  const { eyes, smile } = photo.faces[index];
  const words = `${title} in ${photo.name}: ${EYES[eyes]}, ${SMILE[smile]}`;
  const picture = element("canvas", { width: 1, height: 1, "aria-hidden": "true" });
  drawFace(picture, pictures.faces(photo), index);
  return element(
    "td",
    { class: marks },
    element(
      "button",
      { type: "button", "data-face": index, "data-path": photo.path, "aria-label": words, title: words },
      picture,
      element(
        "span",
        { class: "signs", "aria-hidden": "true" },
        element("i", { class: `eyes ${eyes || "unknown"}` }),
        element("i", { class: `smile ${smile || "unknown"}` }),
        element("span", { text: caption(eyes, smile) }),
      ),
    ),
  );
}

// Returns only the most important fact, because there is no room for more.
function caption(eyes, smile) {
  if (eyes === "closed") return "closed";
  if (!eyes) return "unknown";
  return smile === "smiling" ? "smiling" : "open";
}

// Copies one face from the row of a photo's faces.
async function drawFace(canvas, { done }, index) {
  const row = await done;
  if (!row) return;
  const side = row.naturalHeight;
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(row, index * side, 0, side, side, 0, 0, side, side);
}
