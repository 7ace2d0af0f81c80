// Decisions made in other tabs and by other people, as one stream of events.

const WAIT_MS = 1000;

export class Stream {
  // `received(event)` is called with {ids, regrouped, users, changed}.
  constructor(url, known, received) {
    this.url = url;
    this.known = known; // length of the log that the page reflects
    this.received = received;
    this.#open();
  }

  #open() {
    const source = new EventSource(`${this.url}?known=${this.known}`);
    source.onmessage = (message) => {
      this.known = Number(message.lastEventId);
      const event = JSON.parse(message.data);
      if (event.ids.length || event.changed.length) this.received(event);
    };
    // The browser reconnects by itself, unless the server refused the connection.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#open(), WAIT_MS);
    };
  }
}
