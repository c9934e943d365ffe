/**
 * Whose turn it is to be drawn: rows in sight first, the others when the browser has time.
 *
 * A row takes some tens of milliseconds, or a few where only its colours change. The browser paints and answers the mouse
 * whenever a turn has lasted as long as a frame or two, or three where nobody sees the rows.
 */

const TURN_MS = 24;
const TURN_OUT_OF_SIGHT_MS = 48; // fewer turns, since the browser paints after each for as long as a row takes

/** @type {Map<Element, () => Promise<void>>} */
const waiting = new Map();
let running = false;

/**
 * Have a row drawn in its turn; what it waited for before is forgotten.
 * @param {Element} row
 * @param {() => Promise<void>} draw
 */
export function drawInTurn(row, draw) {
  waiting.set(row, draw);
  if (!running) {
    running = true;
    requestAnimationFrame(next);
  }
}

/** Forget a row that is gone. */
export function withdraw(row) {
  waiting.delete(row);
}

async function next() {
  // Asked once a turn: after a drawing the browser would lay out the page to answer.
  const seen = [...waiting.keys()].filter(inSight);
  const end = performance.now() + (seen.length ? TURN_MS : TURN_OUT_OF_SIGHT_MS);
  while (waiting.size && performance.now() < end) {
    const row = seen.find((one) => waiting.has(one)) ?? waiting.keys().next().value;
    const draw = waiting.get(row);
    waiting.delete(row);
    await draw().catch(reportError); // the others are drawn all the same
  }
  const upcoming = [...waiting.keys()].some(inSight);
  if (!waiting.size) running = false;
  else if (upcoming) setTimeout(next);
  else requestIdleCallback(next, { timeout: 50 });
}

function inSight(row) {
  const { top, bottom } = row.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}
