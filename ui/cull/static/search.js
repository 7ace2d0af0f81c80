// Searches by name, camera and date; each match links to its photo.

import { byId, element } from "./elements.js";

const MAX_SHOWN = 30;

export class Search {
  // `chosen(photo)` is called with the photo to show.
  constructor(album, chosen) {
    this.album = album;
    this.chosen = chosen;
    this.dialog = byId("search");
    this.input = byId("search-text");
    this.input.addEventListener("input", () => this.#render());
    this.dialog.addEventListener("keydown", (event) => this.#press(event));
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close(); // a click outside the box
    });
    byId("found").addEventListener("click", (event) => {
      const path = event.target.closest("[data-found]")?.dataset.found;
      if (path) this.#choose(path);
    });
  }

  open() {
    this.input.value = "";
    this.#render();
    this.dialog.showModal();
  }

  // Enter takes the first match; the arrows go through all of them.
  #press(event) {
    const buttons = [...byId("found").querySelectorAll("button")];
    const place = buttons.indexOf(document.activeElement);
    if (event.key === "Enter" && place < 0 && buttons.length) {
      event.preventDefault();
      this.#choose(buttons[0].dataset.found);
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      buttons[Math.min(place + 1, buttons.length - 1)]?.focus();
    } else if (event.key === "ArrowUp") {
      event.preventDefault();
      (buttons[place - 1] ?? this.input).focus();
    }
  }

  #choose(path) {
    this.dialog.close();
    this.chosen(this.album.byPath.get(path));
  }

  #render() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length ? this.album.photos.filter((photo) => matches(photo, words)) : [];
    const more = found.length - MAX_SHOWN;
    byId("found-count").textContent = words.length
      ? `${found.length} found${more > 0 ? `, showing the first ${MAX_SHOWN}` : ""}`
      : "";
    byId("found").replaceChildren(
      ...found.slice(0, MAX_SHOWN).map((photo) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", "data-found": photo.path },
            element("b", { text: photo.name }),
            element("span", { class: "dim", text: ` moment ${photo.at.number} · ${photo.facts.join(" · ")}` }),
          ),
        ),
      ),
    );
  }
}

function matches(photo, words) {
  const text = [photo.path, ...photo.facts].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}
