// Names in pictures, cut to the room that they have. Letters differ in width: a Chinese one is twice as wide as a Latin one.

let pen = null;

/** Return `text`, or as much of its beginning as fits and `…`. `room` is in pixels, like `size`, the height of the letters. */
export function fitted(text, room, size) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  if (pen.measureText(text).width <= room) return text;
  const letters = [...text];
  let [fits, most] = [0, letters.length];
  while (fits < most) {
    const middle = Math.ceil((fits + most) / 2);
    if (pen.measureText(`${letters.slice(0, middle).join("")}…`).width <= room) fits = middle;
    else most = middle - 1;
  }
  return `${letters.slice(0, fits).join("")}…`;
}
