// Stars and colour labels, as text and as buttons.

import { Photos } from "./photos.js";
import { element, plural } from "./elements.js";

export const LABELS = { 6: "red", 7: "yellow", 8: "green", 9: "blue" }; // by key, as in Lightroom
const MAX_STARS = 5;

// Describes marks, for example "3 stars" and "red label"; empty if there are none.
export function describeMarks(photo) {
  const [stars, label] = [Photos.get(photo, "stars"), Photos.get(photo, "label")];
  return [stars ? plural(stars, "star") : "", label ? `${label} label` : ""].filter(Boolean);
}

// Shows a photo's marks in compact form: "★★★" with the label's colour.
export function marks(photo) {
  const [stars, label] = [Photos.get(photo, "stars"), Photos.get(photo, "label")];
  return element(
    "span",
    { class: "marks", "aria-hidden": "true" },
    ...(stars ? [element("i", { text: "★".repeat(stars) })] : []),
    ...(label ? [element("i", { class: `label ${label}` })] : []),
  );
}

// Makes the buttons that give stars and labels to a photo.
export function markButtons(photo) {
  const [stars, label] = [Photos.get(photo, "stars"), Photos.get(photo, "label")];
  const starButtons = Array.from({ length: MAX_STARS }, (_, index) => {
    const count = index + 1;
    const isLast = count === stars; // pressing it again removes the stars
    return button("rate", isLast ? 0 : count, `star ${count <= stars ? "on" : ""}`, {
      "aria-label": isLast ? "Remove the stars" : plural(count, "star"),
      title: `${plural(count, "star")} (key ${count})`,
    });
  });
  const labelButtons = Object.entries(LABELS).map(([key, colour]) =>
    button("label", key, `label ${colour}`, {
      "aria-label": `${colour} label`,
      "aria-pressed": String(colour === label),
      title: `${colour} label (key ${key})`,
    }),
  );
  return element(
    "div",
    { class: "give" },
    element("div", { role: "group", "aria-label": "Stars" }, ...starButtons),
    element("div", { role: "group", "aria-label": "Label" }, ...labelButtons),
  );
}

function button(command, key, style, attributes) {
  return element("button", {
    type: "button", class: style, "data-command": command, "data-key": key, ...attributes,
  });
}
