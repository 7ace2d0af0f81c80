// The photos of a run in an order that never changes while the view is open, and their decisions.

export class Album {
  constructor(answer) {
    this.name = answer.album.name;
    this.runTitle = answer.run.title;
    this.scores = answer.scores;
    this.unreadable = answer.photos.filter((photo) => photo.error).length;
    this.photos = answer.photos.filter((photo) => !photo.error);
    this.moments = [];
    const places = new Map();
    this.photos.forEach((photo, index) => {
      const place = photo.moment === null ? `single ${index}` : photo.moment;
      if (!places.has(place)) {
        places.set(place, { number: this.moments.length + 1, photos: [] });
        this.moments.push(places.get(place));
      }
      photo.index = index;
      photo.unsaved = null; // {id, decision} of the newest decision that is not stored yet
      photo.at = places.get(place);
      photo.at.photos.push(photo);
    });
    this.byPath = new Map(this.photos.map((photo) => [photo.path, photo]));
  }

  // The user's decision as it shows: "keep", "reject", or "" where the machine decides.
  static decision(photo) {
    return photo.unsaved ? photo.unsaved.decision : photo.decision;
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

  // Takes over what the server says about photos; returns those that are known here.
  update(changed) {
    const known = changed.map((values) => [this.byPath.get(values.path), values]);
    return known.flatMap(([photo, values]) => {
      if (!photo) return [];
      const { decision, picked, reason, lost_to } = values;
      Object.assign(photo, { decision, picked, reason, lost_to });
      return [photo];
    });
  }
}

// The shot that a photo competes with: the best other one of its moment.
export function rival(photo) {
  const others = photo.at.photos.filter((other) => other !== photo);
  return others.find((other) => other.path === photo.lost_to) ?? others[0];
}
