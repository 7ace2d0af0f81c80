// Handles wheel, drag, pinch, click and swipe on the shots, and drags in the filmstrip.

const CLICK_PX = 5;
const SWIPE_PX = 60;

// `cull` has zoom, `photoOf(figure)`, `show(photo)`, `move(photo, moment)`, `run(command)` and
// `renderZoom()`.
export function listenToGestures(shots, cull) {
  const pointers = new Map(); // id -> position
  let figure = null;
  let start = null;
  let moved = false;
  let pinch = 0;

  shots.addEventListener(
    "wheel",
    (event) => {
      const target = event.target.closest("figure");
      if (!target) return;
      event.preventDefault();
      const photo = cull.photoOf(target);
      cull.zoom.wheel(event.deltaY * (event.deltaMode ? 16 : 1), target, photo, at(event));
      cull.renderZoom();
    },
    { passive: false },
  );

  shots.addEventListener("pointermove", (event) => (cull.pointer = at(event)));
  shots.addEventListener("pointerleave", () => (cull.pointer = null));

  shots.addEventListener("pointerdown", (event) => {
    figure = event.target.closest("figure");
    if (!figure || event.button) return;
    pointers.set(event.pointerId, at(event));
    shots.setPointerCapture(event.pointerId);
    if (pointers.size === 1) [start, moved] = [at(event), false];
    pinch = distance(pointers);
  });

  shots.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before || !figure?.isConnected) return;
    const now = at(event);
    pointers.set(event.pointerId, now);
    moved ||= Math.hypot(now.x - start.x, now.y - start.y) > CLICK_PX;
    const photo = cull.photoOf(figure);
    if (pointers.size === 2) {
      const apart = distance(pointers);
      if (pinch) cull.zoom.by(apart / pinch, figure, photo, middle(pointers));
      pinch = apart;
      moved = true;
    } else if (!cull.zoom.isFit && moved) {
      cull.zoom.pan(now.x - before.x, now.y - before.y, figure, photo);
    } else return;
    cull.renderZoom();
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size) return (pinch = distance(pointers)), (start = null);
    if (event.type === "pointercancel" || !figure?.isConnected || !start) return;
    const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
    if (!moved) click(figure, at(event));
    else if (event.pointerType === "touch" && cull.zoom.isFit) swipe(dx, dy);
  };
  shots.addEventListener("pointerup", end);
  shots.addEventListener("pointercancel", end);

  function click(target, point) {
    const photo = cull.photoOf(target);
    if (photo !== cull.photo) return cull.show(photo);
    cull.toggleZoom(cull.zoom.place(target, photo, point));
  }

  // Swiping right keeps, left rejects, and up goes to the next moment.
  function swipe(dx, dy) {
    if (Math.max(Math.abs(dx), Math.abs(dy)) < SWIPE_PX) return;
    if (Math.abs(dx) > Math.abs(dy)) cull.run(dx > 0 ? "keep" : "reject");
    else cull.run(dy < 0 ? "nextMoment" : "previousMoment");
  }
}

// Handles dragging a shot to another moment in the filmstrip.
export function listenToDrags(strip, cull) {
  let dragged = null;
  const photoAt = (event) => {
    const path = event.target.closest?.("[data-path]")?.dataset.path;
    return path && cull.album.byPath.get(path);
  };
  const targetOf = (event) => {
    const photo = dragged && photoAt(event);
    return photo && photo.at !== dragged.at ? photo.at : undefined;
  };
  const mark = (moment) => {
    for (const button of strip.querySelectorAll("[data-path]")) {
      const isTarget = moment && cull.album.byPath.get(button.dataset.path).at === moment;
      button.classList.toggle("target", Boolean(isTarget));
    }
  };
  strip.addEventListener("dragstart", (event) => {
    dragged = photoAt(event) ?? null;
    event.target.blur?.(); // otherwise Space would press it
    event.dataTransfer.effectAllowed = "move";
  });
  strip.addEventListener("dragover", (event) => {
    const moment = targetOf(event);
    if (moment) event.preventDefault(); // allows the drop
    mark(moment);
  });
  strip.addEventListener("drop", (event) => {
    const moment = targetOf(event);
    if (!moment) return;
    event.preventDefault();
    const photo = dragged;
    dragged = null;
    mark(undefined);
    cull.move(photo, moment);
  });
  strip.addEventListener("dragend", () => {
    dragged = null;
    mark(undefined);
  });
}

function at(event) {
  return { x: event.clientX, y: event.clientY };
}

function distance(pointers) {
  const [one, other] = [...pointers.values()];
  return other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;
}

function middle(pointers) {
  const [one, other] = [...pointers.values()];
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}
