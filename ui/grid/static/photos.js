// The photos that the server has sent, whatever the filter, and what is decided about them.

import { Album } from "/cull/files/album.js";

export class Photos {
  constructor() {
    this.byPath = new Map();
    this.eventCount = 0; // of the stream of decisions
  }

  get photos() {
    return [...this.byPath.values()];
  }

  // Takes photos from an answer to a request that was sent when `eventCount` was `since`; returns
  // them as they are kept here.
  add(answered, since) {
    return answered.map((values) => {
      const known = this.byPath.get(values.path);
      if (known) {
        if (known.followed <= since) Object.assign(known, values);
        return known;
      }
      const photo = { ...values, unsaved: {}, followed: 0 };
      this.byPath.set(photo.path, photo);
      return photo;
    });
  }

  // Updates photos from the stream of decisions, which is in order; returns those known here.
  follow(changed) {
    this.eventCount += 1;
    const known = this.update(changed, Infinity);
    for (const photo of known) photo.followed = this.eventCount;
    return known;
  }

  // Updates photos from the answer to a request; what the stream has said since then is newer.
  update(changed, since) {
    return changed.flatMap((values) => {
      const photo = this.byPath.get(values.path);
      if (!photo || photo.followed > since) return [];
      Album.take(photo, values);
      return [photo];
    });
  }
}
