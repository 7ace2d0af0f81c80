// Decisions on their way to the server: kept in this browser until the server has stored them.
// One batch is sent at a time. It is sent again, unchanged and with the same request id, until the
// server answers, so nothing is ever lost or stored twice.

import { newId } from "./identity.js";

const MAX_ENTRIES = 1000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

export class Queue {
  // `saved(entries, changed, mark)` is called once a batch is stored, with the value that `mark()`
  // had when the batch was sent; `refused(entries, text)` if the server rejects an entry for good;
  // and `counted()` whenever the number of entries changes.
  constructor(url, { mark, saved, refused, counted }) {
    this.url = url;
    this.mark = mark;
    this.saved = saved;
    this.refused = refused;
    this.counted = counted;
    this.place = `bestshot cull ${url} ${newId()}`;
    this.batches = []; // the first one is being sent
    this.waiting = [];
    this.own = new Set(); // ids of this tab's entries
    this.problem = ""; // why the last attempt failed
    this.sending = false;
    window.addEventListener("online", () => this.wake?.());
  }

  get count() {
    const sent = this.batches.reduce((sum, batch) => sum + batch.entries.length, 0);
    return sent + this.waiting.length;
  }

  add(...entries) {
    this.waiting.push(...entries);
    for (const { id } of entries) this.own.add(id);
    this.#remember();
    this.counted();
    this.#send();
  }

  // Takes over entries that a closed tab or a crashed browser did not send.
  adopt() {
    const found = [];
    for (const place of Object.keys(localStorage)) {
      if (!place.startsWith(`bestshot cull ${this.url} `) || place === this.place) continue;
      const { batches, waiting } = JSON.parse(localStorage.getItem(place));
      found.push(...batches);
      if (waiting.length) found.push({ request_id: newId(), entries: waiting });
      localStorage.removeItem(place);
    }
    this.batches.push(...found);
    if (!found.length) return [];
    this.#remember();
    this.counted();
    this.#send();
    return found.flatMap((batch) => batch.entries);
  }

  #remember() {
    const { batches, waiting } = this;
    try {
      if (this.count) localStorage.setItem(this.place, JSON.stringify({ batches, waiting }));
      else localStorage.removeItem(this.place);
    } catch {
      // storage is full or forbidden: the tab still has the entries, and warns before it closes
    }
  }

  async #send() {
    if (this.sending) return;
    this.sending = true;
    await new Promise((wake) => setTimeout(wake)); // first show what the key has changed
    let wait = FIRST_WAIT_MS;
    while (this.count) {
      if (!this.batches.length) {
        const entries = this.waiting.splice(0, MAX_ENTRIES);
        this.batches.push({ request_id: newId(), entries });
        this.#remember();
      }
      const mark = this.mark();
      const answer = await this.#post(this.batches[0]);
      if (answer.ok || answer.refusal) {
        wait = FIRST_WAIT_MS;
        this.#settle(answer, mark);
      } else {
        this.problem = answer.problem;
        this.counted();
        await new Promise((wake) => {
          this.wake = wake;
          setTimeout(wake, wait);
        });
        wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      }
    }
    this.sending = false;
  }

  #settle({ ok, changed, refusal }, mark) {
    const { entries } = this.batches.shift();
    this.problem = "";
    if (!ok && entries.length > 1) {
      // a batch is all or nothing: find the rejected entry
      const single = entries.map((entry) => ({ request_id: newId(), entries: [entry] }));
      this.batches.unshift(...single);
    }
    this.#remember();
    if (ok) this.saved(entries, changed, mark);
    else if (entries.length === 1) this.refused(entries, refusal);
    this.counted();
  }

  async #post(batch) {
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(batch),
      });
      if (response.ok) return { ok: true, ...(await response.json()) };
      const text = await response.text();
      const problem = describe(text) || `The server responded with ${response.status}.`;
      const isFinal = [400, 404, 409, 413, 422].includes(response.status);
      return isFinal ? { refusal: problem } : { problem };
    } catch {
      return { problem: "The server is not responding." };
    }
  }
}

function describe(text) {
  try {
    const { detail } = JSON.parse(text);
    return typeof detail === "string" ? detail : "";
  } catch {
    return "";
  }
}
