// The room in pictures, and names that are cut to theirs. Letters differ in width: a Chinese one is twice as wide as a Latin one.

const WIDEST = 1200;
/** What is around a picture that is as wide as the page, about. */
const AROUND = 64;
const NARROW = 700;
const NAMES = { wide: 190, narrow: 110 };

/** The width of a picture that is as wide as the page, and of the names in it: in pixels, so that its letters keep their size. */
export function pageRoom() {
  const width = Math.max(300, Math.min(WIDEST, document.querySelector("main").clientWidth - AROUND));
  return [width, width < NARROW ? NAMES.narrow : NAMES.wide];
}

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
