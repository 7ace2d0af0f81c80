// The zoom and the visible part of the shots, which all shots share from photo to photo.
//
// A scale is in screen pixels per photo pixel: 1 is 100%, and 0 means "fit".

import { NEAR, centreOf, distance } from "./people.js";

const LARGEST = 8;
const STEP = 1.0015; // per wheel unit

export class Zoom {
  constructor() {
    this.scale = 0;
    this.centre = { x: 0.5, y: 0.5 }; // relative to the picture, or to the chosen face
    this.face = null; // {photo, index}: every shot is aligned to its own face in that position
  }

  get isFit() {
    return !this.scale;
  }

  fit() {
    this.scale = 0;
    this.face = null;
  }

  // Zooms to 100% at a point, relative to the photo.
  magnify(place) {
    this.scale = 1;
    this.face = null;
    this.centre = place;
  }

  // Zooms to 100% at the next face of a photo; after the last face, goes back to fit.
  nextFace(photo) {
    const index = this.face?.photo === photo ? this.face.index + 1 : 0;
    if (index >= photo.faces.length) return this.fit();
    this.showFace(photo, index);
  }

  // Zooms to 100% at a face.
  showFace(photo, index) {
    this.scale = 1;
    this.face = { photo, index };
    this.centre = { x: 0, y: 0 };
  }

  // Changes the scale while keeping the point under the pointer in place.
  by(factor, figure, photo, point) {
    const box = figure.getBoundingClientRect();
    const before = this.scale || fitScale(figure, photo);
    const scale = Math.min(LARGEST, before * factor);
    if (scale <= fitScale(figure, photo) * 1.01) return this.fit();
    const place = this.place(figure, photo, point);
    const anchor = this.#anchor(photo);
    this.scale = scale;
    this.centre = {
      x: place.x - anchor.x - (point.x - box.left - box.width / 2) / this.#width(photo),
      y: place.y - anchor.y - (point.y - box.top - box.height / 2) / this.#height(photo),
    };
    this.#clamp(figure, photo);
  }

  wheel(delta, figure, photo, point) {
    this.by(STEP ** -delta, figure, photo, point);
  }

  // Moves the shots by a number of page pixels.
  pan(dx, dy, figure, photo) {
    this.centre = {
      x: this.centre.x - dx / this.#width(photo),
      y: this.centre.y - dy / this.#height(photo),
    };
    this.#clamp(figure, photo);
  }

  // Returns the point of a photo at a position on the page, relative to the photo.
  place(figure, photo, point) {
    const box = figure.getBoundingClientRect();
    const scale = (this.scale || fitScale(figure, photo)) / devicePixelRatio;
    const middle = this.isFit ? { x: 0.5, y: 0.5 } : this.#middle(figure, photo);
    const x = middle.x + (point.x - box.left - box.width / 2) / (photo.width * scale);
    const y = middle.y + (point.y - box.top - box.height / 2) / (photo.height * scale);
    return { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
  }

  // Lays out the image of a figure; returns a caption for its size.
  apply(figure, photo) {
    const image = figure.querySelector("img");
    const fit = fitScale(figure, photo);
    figure.classList.toggle("zoomed", !this.isFit);
    if (this.isFit) {
      image.style.width = image.style.height = image.style.transform = "";
      return `Fit ${percent(fit)}`;
    }
    const { left, top, width, height } = this.frame(figure, photo);
    image.style.width = `${width}px`;
    image.style.height = `${height}px`;
    image.style.transform = `translate(${left}px, ${top}px)`;
    return percent(this.scale);
  }

  // Returns where a magnified photo is in its figure, and the figure's size, in page pixels.
  frame(figure, photo) {
    const box = figure.getBoundingClientRect();
    const [width, height] = [this.#width(photo), this.#height(photo)];
    const middle = this.#middle(figure, photo);
    const [left, top] = [box.width / 2 - middle.x * width, box.height / 2 - middle.y * height];
    return { left: snap(left), top: snap(top), width, height, box };
  }

  // Returns whether a picture of `longSide` pixels is too small for the current zoom.
  needsMore(photo, longSide) {
    const all = Math.max(photo.width, photo.height);
    return !this.isFit && all > longSide && all * Math.min(1, this.scale) > longSide;
  }

  #width(photo) {
    return (photo.width * this.scale) / devicePixelRatio;
  }

  #height(photo) {
    return (photo.height * this.scale) / devicePixelRatio;
  }

  // Returns the point that the centre is relative to: the chosen face, or the face at about the same place in
  // another shot.
  #anchor(photo) {
    if (!this.face) return { x: 0, y: 0 };
    const chosen = centreOf(this.face.photo.faces[this.face.index]);
    const faces = photo === this.face.photo ? [] : photo.faces.map(centreOf);
    const far = (face) => distance(face, chosen);
    const nearest = faces.toSorted((one, other) => far(one) - far(other))[0];
    return nearest && far(nearest) < NEAR ? nearest : chosen;
  }

  // Returns the point in the middle of a figure, limited so that no empty space shows beside the
  // photo.
  #middle(figure, photo) {
    const box = figure.getBoundingClientRect();
    const anchor = this.#anchor(photo);
    return {
      x: within(anchor.x + this.centre.x, box.width / this.#width(photo) / 2),
      y: within(anchor.y + this.centre.y, box.height / this.#height(photo) / 2),
    };
  }

  #clamp(figure, photo) {
    const [middle, anchor] = [this.#middle(figure, photo), this.#anchor(photo)];
    this.centre = { x: middle.x - anchor.x, y: middle.y - anchor.y };
  }
}

function fitScale(figure, photo) {
  const { width, height } = figure.getBoundingClientRect();
  return Math.min(width / photo.width, height / photo.height) * devicePixelRatio;
}

function within(value, half) {
  return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, value));
}

// Rounds to whole screen pixels.
export function snap(value) {
  return Math.round(value * devicePixelRatio) / devicePixelRatio; // otherwise 1:1 would be blurred
}

function percent(scale) {
  return `${Math.round(100 * scale)}%`;
}
