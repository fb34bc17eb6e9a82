// The whole of a large picture in the corner of its canvas, with the part that is in sight; a click goes there.

import { CELL } from "./block_layout.js";

const ROOM = { width: 170, height: 110 };
const MARGIN = 8;
const LEAST_DOT = 1.2;

/** Where the map lies on a canvas of `[width, height]`, and its scale; null while the whole is in sight. */
function mapPlace({ layout, scale, left, top, size: [width, height] }) {
  const whole = left >= 0 && top >= 0 && left + layout.width * scale <= width && top + layout.height * scale <= height;
  if (whole || width < 2 * ROOM.width) return null;
  const small = Math.min(ROOM.width / layout.width, ROOM.height / layout.height);
  const box = { width: Math.max(layout.width * small, 12), height: Math.max(layout.height * small, 12), scale: small };
  return { ...box, left: width - box.width - MARGIN, top: height - box.height - MARGIN };
}

/** The point of the picture at a point of the canvas, if that is on the map; else null. */
export function mapPoint(view, [x, y]) {
  const place = mapPlace(view);
  if (!place) return null;
  const [dx, dy] = [x - place.left, y - place.top];
  return dx >= 0 && dy >= 0 && dx <= place.width && dy <= place.height ? [dx / place.scale, dy / place.scale] : null;
}

/** Paint the map of `view`, in the canvas's own coordinates. Returns whether there is one. */
export function paintMap(pen, view, tones) {
  const place = mapPlace(view);
  if (!place) return false;
  const { left, top, width, height, scale } = place;
  pen.fillStyle = tones.sheet;
  pen.fillRect(left - 4, top - 4, width + 8, height + 8);
  pen.strokeStyle = tones.line;
  pen.lineWidth = 1;
  pen.strokeRect(left - 4, top - 4, width + 8, height + 8);
  const dot = [Math.max(LEAST_DOT, (CELL.width - 8) * scale), Math.max(LEAST_DOT, (CELL.height - 6) * scale)];
  for (const step of view.steps) {
    const [x, y] = view.layout.places.get(step.name);
    pen.fillStyle = tones.of(step.label);
    pen.fillRect(left + x * scale, top + y * scale, ...dot);
  }
  const seen = {
    left: Math.max(0, -view.left / view.scale), top: Math.max(0, -view.top / view.scale),
    right: Math.min(view.layout.width, (view.size[0] - view.left) / view.scale),
    bottom: Math.min(view.layout.height, (view.size[1] - view.top) / view.scale),
  };
  pen.strokeStyle = tones.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(left + seen.left * scale, top + seen.top * scale, (seen.right - seen.left) * scale, (seen.bottom - seen.top) * scale);
  return true;
}
