// The time on the server, which a browser whose own clock is wrong does not have.

/** How much later it may be on the server. The header `Date` has seconds only, and a small difference matters to nobody. */
const ENOUGH_MS = 3000;
let aheadMs = 0;

/** The time now, in milliseconds since 1970. */
export const now = () => Date.now() + aheadMs;

/** Take the time from an answer to a request that was sent at `sentMs` by the browser's clock. */
export function learn(response, sentMs) {
  const receivedMs = Date.now();
  const found = Date.parse(response.headers.get("Date")) - receivedMs;
  // An answer that took long, because of the network or because the machine slept, does not say what time it is.
  if (receivedMs - sentMs > ENOUGH_MS || !(Math.abs(found - aheadMs) > ENOUGH_MS)) return;
  aheadMs = Math.abs(found) > ENOUGH_MS ? found : 0;
}
