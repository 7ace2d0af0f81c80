// The photos in a run and their decisions, in an order that only the user changes while the view is
// open, by splitting, merging and moving.

export class Album {
  constructor(answer) {
    this.name = answer.album.name;
    this.runTitle = answer.run.title;
    this.scores = answer.scores;
    this.unreadable = answer.photos.filter((photo) => photo.error).length;
    this.eventCount = 0; // events received from the stream of decisions
    const groups = new Map();
    for (const photo of answer.photos.filter((one) => !one.error)) {
      const place = photo.moment === null ? photo : photo.moment;
      if (!groups.has(place)) groups.set(place, []);
      groups.get(place).push(photo);
      photo.unsaved = {}; // unstored values of its decision, stars and label: {id, value}
      photo.followed = 0; // number of the last event about it
    }
    this.arrange([...groups.values()]);
    this.byPath = new Map(this.photos.map((photo) => [photo.path, photo]));
  }

  // Returns the photos of each moment, in the form that `arrange` takes.
  groups() {
    return this.moments.map(({ photos }) => [...photos]);
  }

  // Puts the photos into moments, in this order; empty ones are left out.
  arrange(groups) {
    this.moments = groups
      .filter((photos) => photos.length)
      .map((photos, index) => ({ number: index + 1, photos }));
    this.photos = this.moments.flatMap((moment) => moment.photos);
    for (const moment of this.moments) for (const photo of moment.photos) photo.at = moment;
    this.photos.forEach((photo, index) => (photo.index = index));
  }

  // Copies the values that decisions may change to a photo.
  static take(photo, { decision, stars, label, picked, reason, lost_to }) {
    Object.assign(photo, { decision, stars, label, picked, reason, lost_to });
  }

  // Returns the value that is shown for a photo's "decision", "stars" or "label".
  static get(photo, field) {
    return (photo.unsaved[field] ?? { value: photo[field] }).value;
  }

  // Returns "keep", "reject", or "" if the machine decides.
  static decision(photo) {
    return Album.get(photo, "decision");
  }

  static isPick(photo) {
    return photo.picked && !Album.decision(photo);
  }

  count(decision) {
    return this.photos.filter((photo) => Album.decision(photo) === decision).length;
  }

  after(photo, by) {
    return this.photos[photo.index + by];
  }

  momentAfter(moment, by) {
    return this.moments[moment.number - 1 + by];
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
    const known = changed.map((values) => [this.byPath.get(values.path), values]);
    return known.flatMap(([photo, values]) => {
      if (!photo || photo.followed > since) return [];
      Album.take(photo, values);
      return [photo];
    });
  }
}

// Returns the shot that a photo competes with: the best other one of its moment.
export function rival(photo) {
  const others = photo.at.photos.filter((other) => other !== photo);
  return others.find((other) => other.path === photo.lost_to) ?? others[0];
}
