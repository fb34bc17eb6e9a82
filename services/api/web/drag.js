// Follows a pointer that was pressed: a drag, or, if it did not really move, a click.

const SLACK_PX = 4;

/** Call `moved(event)` while the main button is down, or `clicked()` if the pointer was let go where it was pressed. */
export function drag(event, { moved, clicked = () => {} }) {
  if (event.button !== 0) return;
  const { currentTarget, pointerId, clientX, clientY } = event;
  const ending = new AbortController();
  const { signal } = ending;
  let far = false;
  addEventListener("pointermove", (now) => {
    far ||= Math.hypot(now.clientX - clientX, now.clientY - clientY) > SLACK_PX;
    if (!far) return;
    // A link that was dragged along is not clicked at the end.
    currentTarget.setPointerCapture(pointerId);
    moved(now);
  }, { signal });
  addEventListener("pointerup", () => {
    ending.abort();
    if (!far) clicked();
  }, { signal });
  // The browser scrolls with the finger, and tells nothing more of it.
  addEventListener("pointercancel", () => ending.abort(), { signal });
}
