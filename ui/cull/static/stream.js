// Decisions made in other tabs and by other people, as one stream of events. A hidden page closes it:
// browsers allow six connections to a server. When shown again, the page receives what it missed.

const WAIT_MS = 1000;

export class Stream {
  // `received(event)` is called with {ids, regrouped, users, changed}.
  constructor(url, known, received) {
    this.url = url;
    this.known = known; // length of the log that the page reflects
    this.received = received;
    document.addEventListener("visibilitychange", () => this.#follow());
    this.#follow();
  }

  #follow() {
    clearTimeout(this.retrying);
    if (document.hidden) {
      this.source?.close();
      this.source = undefined;
    } else if (!this.source) this.#open();
  }

  #open() {
    const source = new EventSource(`${this.url}?known=${this.known}`);
    this.source = source;
    source.onmessage = (message) => {
      this.known = Number(message.lastEventId);
      const event = JSON.parse(message.data);
      if (event.ids.length || event.changed.length) this.received(event);
    };
    // The browser reconnects by itself, unless the server refused the connection.
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return;
      this.source = undefined;
      this.retrying = setTimeout(() => this.#follow(), WAIT_MS);
    };
  }
}
