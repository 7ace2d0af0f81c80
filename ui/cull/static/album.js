// The photos in a run by moment, in an order that only the user changes while the view is open, by
// splitting, merging and moving.

import { Photos } from "./photos.js";

export class Album extends Photos {
  constructor(answer) {
    super();
    this.name = answer.album.name;
    this.runTitle = answer.run.title;
    this.scores = answer.scores;
    this.unreadable = answer.photos.filter((photo) => photo.error).length;
    const groups = new Map();
    for (const photo of this.add(answer.photos.filter((one) => !one.error), 0)) {
      const place = photo.moment === null ? photo : photo.moment;
      if (!groups.has(place)) groups.set(place, []);
      groups.get(place).push(photo);
    }
    this.arrange([...groups.values()]);
  }

  // Returns the photos of each moment, in the form that `arrange` takes.
  groups() {
    return this.moments.map(({ photos }) => [...photos]);
  }

  // Puts the photos into moments, in the given order; leaves out empty groups.
  arrange(groups) {
    this.moments = groups
      .filter((photos) => photos.length)
      .map((photos, index) => ({ number: index + 1, photos }));
    this.photos = this.moments.flatMap((moment) => moment.photos);
    for (const moment of this.moments) for (const photo of moment.photos) photo.at = moment;
    this.photos.forEach((photo, index) => (photo.index = index));
  }

  count(decision) {
    return this.photos.filter((photo) => Photos.decision(photo) === decision).length;
  }

  after(photo, by) {
    return this.photos[photo.index + by];
  }

  momentAfter(moment, by) {
    return this.moments[moment.number - 1 + by];
  }
}

// Returns the shot that a photo competes with: the best other shot in its moment.
export function rival(photo) {
  const others = photo.at.photos.filter((other) => other !== photo);
  return others.find((other) => other.path === photo.lost_to) ?? others[0];
}
