// How large the shots show, and which part of them: the same for all of them, from photo to photo.
//
// A scale is in pixels of the screen per pixel of the photo: 1 is 100%, and 0 stands for "fit".

import { NEAR, centreOf, distance } from "./people.js";

const LARGEST = 8;
const STEP = 1.0015; // per unit of the wheel

export class Zoom {
  constructor() {
    this.scale = 0;
    this.centre = { x: 0.5, y: 0.5 }; // relative to the picture, or to the chosen face
    this.face = null; // {photo, index}: every shot is aligned to its own face at that place
  }

  get isFit() {
    return !this.scale;
  }

  fit() {
    this.scale = 0;
    this.face = null;
  }

  // Goes to 100% at a place of a photo, relative to it.
  magnify(place) {
    this.scale = 1;
    this.face = null;
    this.centre = place;
  }

  // Goes to 100% at the next face of a photo; after its last one, back to fit.
  nextFace(photo) {
    const index = this.face?.photo === photo ? this.face.index + 1 : 0;
    if (index >= photo.faces.length) return this.fit();
    this.showFace(photo, index);
  }

  // Goes to 100% at a face.
  showFace(photo, index) {
    this.scale = 1;
    this.face = { photo, index };
    this.centre = { x: 0, y: 0 };
  }

  // Changes the scale, so that the place under the pointer stays where it is.
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

  // Moves the shots by pixels of the page.
  pan(dx, dy, figure, photo) {
    this.centre = {
      x: this.centre.x - dx / this.#width(photo),
      y: this.centre.y - dy / this.#height(photo),
    };
    this.#clamp(figure, photo);
  }

  // The place of a photo that shows at a point of the page, relative to the photo.
  place(figure, photo, point) {
    const box = figure.getBoundingClientRect();
    const scale = (this.scale || fitScale(figure, photo)) / devicePixelRatio;
    const middle = this.isFit ? { x: 0.5, y: 0.5 } : this.#middle(figure, photo);
    const x = middle.x + (point.x - box.left - box.width / 2) / (photo.width * scale);
    const y = middle.y + (point.y - box.top - box.height / 2) / (photo.height * scale);
    return { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
  }

  // Lays out the image of a figure; returns what to say about its size.
  apply(figure, photo) {
    const image = figure.querySelector("img");
    const fit = fitScale(figure, photo);
    figure.classList.toggle("zoomed", !this.isFit);
    if (this.isFit) {
      image.style.width = image.style.height = image.style.transform = "";
      return `Fit ${percent(fit)}`;
    }
    const box = figure.getBoundingClientRect();
    const [width, height] = [this.#width(photo), this.#height(photo)];
    const middle = this.#middle(figure, photo);
    const [left, top] = [box.width / 2 - middle.x * width, box.height / 2 - middle.y * height];
    image.style.width = `${width}px`;
    image.style.height = `${height}px`;
    image.style.transform = `translate(${snap(left)}px, ${snap(top)}px)`;
    return percent(this.scale);
  }

  // Whether a picture of `longSide` pixels is too small for what shows.
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

  // Where the centre is counted from: the chosen face, or that of another shot at about its place.
  #anchor(photo) {
    if (!this.face) return { x: 0, y: 0 };
    const chosen = centreOf(this.face.photo.faces[this.face.index]);
    const faces = photo === this.face.photo ? [] : photo.faces.map(centreOf);
    const far = (face) => distance(face, chosen);
    const nearest = faces.toSorted((one, other) => far(one) - far(other))[0];
    return nearest && far(nearest) < NEAR ? nearest : chosen;
  }

  // The place in the middle of a figure: never so far out that there would be nothing beside it.
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

function snap(value) {
  return Math.round(value * devicePixelRatio) / devicePixelRatio; // or 1:1 would be blurred
}

function percent(scale) {
  return `${Math.round(100 * scale)}%`;
}
