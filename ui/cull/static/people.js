// The faces of a moment by person: by identity where that is known, otherwise matched from shot to
// shot by position.

export const NEAR = 0.25; // share of the picture: a face farther away belongs to someone else
const MAX_ROWS = 8;
const MAX_FACES = 24; // faces that the server draws

// Returns rows of faces from left to right, each a map from a photo to the index of its face.
// Includes only people with a prominent face, unless nobody has one.
export function findPeople(photos) {
  const rows = [];
  addKnown(rows, photos);
  const withMost = photos.toSorted((one, other) => other.faces.length - one.faces.length);
  for (const photo of withMost) addFaces(rows, photo);
  const prominent = rows.filter((row) =>
    [...row.faces].some(([photo, index]) => photo.faces[index].prominent),
  );
  return (prominent.length ? prominent : rows)
    .slice(0, MAX_ROWS)
    .sort((one, other) => one.centre.x - other.centre.x)
    .map((row) => row.faces);
}

// Makes a row of each person whose identity is known.
function addKnown(rows, photos) {
  for (const photo of photos) {
    photo.faces.slice(0, MAX_FACES).forEach((face, index) => {
      if (!face.person) return;
      let row = rows.find(({ person }) => person === face.person);
      if (!row) rows.push((row = { person: face.person, centre: centreOf(face), faces: new Map() }));
      if (!row.faces.has(photo)) row.faces.set(photo, index);
    });
  }
}

// Assigns each face to the nearest person without a face in this photo, nearest pairs first.
function addFaces(rows, photo) {
  const centres = photo.faces.slice(0, MAX_FACES).map(centreOf);
  const pairs = rows.flatMap((row) =>
    centres.map((centre, index) => ({ row, index, far: distance(row.centre, centre) })),
  );
  // a face without an identity may join a known person's row, but an identified face keeps its own
  const taken = new Set(rows.flatMap((row) => (row.faces.has(photo) ? [row.faces.get(photo)] : [])));
  for (const { row, index, far } of pairs.sort((one, other) => one.far - other.far)) {
    if (far >= NEAR || taken.has(index) || row.faces.has(photo)) continue;
    row.faces.set(photo, index);
    taken.add(index);
  }
  centres.forEach((centre, index) => {
    if (!taken.has(index)) rows.push({ centre, faces: new Map([[photo, index]]) });
  });
}

export function centreOf(face) {
  return { x: face.left + face.width / 2, y: face.top + face.height / 2 };
}

export function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
