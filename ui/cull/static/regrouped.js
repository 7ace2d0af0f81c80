// Offers to reload the moments when another tab or person has changed them. They are not reloaded
// automatically, because the order of the photos never changes under the cursor.

import { byId } from "./elements.js";

export class Regrouped {
  // `own` holds the ids of this tab's entries; `reload()` is called if the user accepts.
  constructor(own, reload) {
    this.own = own;
    this.note = byId("regrouped");
    this.note.querySelector("button").addEventListener("click", () => {
      this.note.hidden = true;
      reload();
    });
  }

  // Handles decisions that were added to the log.
  receive({ ids, regrouped, users }) {
    if (!regrouped || ids.every((id) => this.own.has(id))) return;
    const who = users.join(" and ") || "Someone";
    this.note.querySelector("span").textContent = `${who} regrouped photos.`;
    this.note.hidden = false;
  }
}
