// Messages that the full-window views share: notices, what is not saved yet, and why a view is empty.

import { byId, element, plural } from "./elements.js";

const NOTICE_MS = 6000;

let timer;

// Shows a message for a few seconds.
export function notify(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

// Shows how many entries are not saved yet, and the problem, if there is one.
export function showSaving(count, problem, word) {
  const saving = byId("saving");
  saving.classList.toggle("busy", count > 0);
  saving.classList.toggle("problem", Boolean(problem));
  saving.textContent = count ? `${count} unsaved` : "Saved";
  saving.title = problem;
  if (problem) notify(`${problem} ${plural(count, word)} not saved yet; trying again.`);
}

// Shows a message in place of the view's content.
export function tell(place, title, text) {
  place.replaceChildren(
    element("div", { class: "empty", role: "alert" },
      element("h2", { text: title }),
      element("p", { text }),
      element("a", { href: "/", text: "Back to albums and runs" })),
  );
}
