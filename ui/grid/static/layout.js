// Lays out the photos of the grid: moments side by side, large ones over several lines.

const GAP = 6; // between the photos in a moment
const MOMENT_GAP = 26;
const LABEL = 28; // height of the line above a moment
const LINE_GAP = 14;

// Groups photos that follow one another and belong together: {title, note, start, count}.
export function groupPhotos(photos) {
  const groups = [];
  photos.forEach((photo, index) => {
    const title = titleOf(photo);
    const last = groups.at(-1);
    if (last?.title === title) last.count += 1;
    else groups.push({ title, start: index, count: 1 });
  });
  return groups;
}

function titleOf(photo) {
  if (photo.error) return "Unreadable";
  return photo.moment === null ? "Single shots" : `Moment ${photo.moment + 1}`;
}

// Lays out groups within a width; returns the photos' positions xs and ys in order, the labels of
// the groups, the total height, and the size.
export function layOut(groups, width, size) {
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  const [xs, ys] = [new Float64Array(total), new Float64Array(total)];
  const labels = [];
  let [x, y, bottom] = [0, 0, 0];
  for (const { title, start, count } of groups) {
    const wanted = count * (size + GAP) - GAP;
    if (x > 0 && x + wanted > width) [x, y] = [0, bottom + LINE_GAP];
    labels.push({ title, start, count, x, y, width: Math.min(wanted, width - x) });
    let [left, top, wrapped] = [x, y + LABEL, false];
    for (let index = start; index < start + count; index += 1) {
      if (left > 0 && left + size > width) [left, top, wrapped] = [0, top + size + GAP, true];
      [xs[index], ys[index]] = [left, top];
      left += size + GAP;
    }
    bottom = top + size;
    if (wrapped) [x, y] = [0, bottom + LINE_GAP];
    else x = left - GAP + MOMENT_GAP;
  }
  return { xs, ys, labels, height: bottom, size };
}

// Returns the first of `count` indexes whose value is at least `limit`; the values must ascend.
export function lowerBound(count, valueAt, limit) {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueAt(middle) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Returns the photo above or below another one: the nearest in the next line with photos.
export function neighbour({ xs, ys }, index, by) {
  let place = index;
  while (ys[place] === ys[index]) place += by;
  if (place < 0 || place >= ys.length) return index;
  const line = ys[place];
  let best = place;
  for (; ys[place] === line; place += by) {
    if (Math.abs(xs[place] - xs[index]) < Math.abs(xs[best] - xs[index])) best = place;
  }
  return best;
}
