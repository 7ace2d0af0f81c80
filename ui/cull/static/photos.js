// The photos that the server has sent, and the decisions on them.

export class Photos {
  constructor() {
    this.byPath = new Map();
    this.eventCount = 0; // events received from the stream of decisions
  }

  // Stores photos from the response to a request that was sent when `eventCount` was `since`;
  // returns them as stored here.
  add(answered, since) {
    return answered.map((values) => {
      const known = this.byPath.get(values.path);
      if (known) {
        if (known.followed <= since) Object.assign(known, values);
        return known;
      }
      const photo = {
        ...values,
        unsaved: {}, // unstored values of its decision, stars and label: {id, value}
        followed: 0, // number of the last event about it
      };
      this.byPath.set(photo.path, photo);
      return photo;
    });
  }

  // Updates photos from the stream of decisions, which is in order; returns the ones known here.
  follow(changed) {
    this.eventCount += 1;
    const known = this.update(changed, Infinity);
    for (const photo of known) photo.followed = this.eventCount;
    return known;
  }

  // Updates photos from the response to a request that was sent when `eventCount` was `since`. If
  // the stream has updated a photo since then, it may be newer, so that photo is left unchanged.
  update(changed, since) {
    return changed.flatMap((values) => {
      const photo = this.byPath.get(values.path);
      if (!photo || photo.followed > since) return [];
      const { decision, stars, label, picked, reason, lost_to } = values;
      Object.assign(photo, { decision, stars, label, picked, reason, lost_to });
      return [photo];
    });
  }

  // Returns the value that is shown for a photo's "decision", "stars" or "label".
  static get(photo, field) {
    return (photo.unsaved[field] ?? { value: photo[field] }).value;
  }

  // Returns "keep", "reject", or "" if the machine decides.
  static decision(photo) {
    return Photos.get(photo, "decision");
  }

  static isPick(photo) {
    return photo.picked && !Photos.decision(photo);
  }
}
