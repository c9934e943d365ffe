/**
 * What can be done to a box, in pixels of the photograph; every result lies on the photograph.
 *
 * @typedef {{x0: number, y0: number, x1: number, y1: number, label: string}} Box
 * @typedef {{width: number, height: number}} Photo
 */

/**
 * The handles of a box: which of its edges each moves, and where it is from 0 to 1.
 * @type {{edges: string[], across: number, down: number}[]}
 */
export const HANDLES = [
  { edges: ["x0", "y0"], across: 0, down: 0 },
  { edges: ["y0"], across: 0.5, down: 0 },
  { edges: ["x1", "y0"], across: 1, down: 0 },
  { edges: ["x1"], across: 1, down: 0.5 },
  { edges: ["x1", "y1"], across: 1, down: 1 },
  { edges: ["y1"], across: 0.5, down: 1 },
  { edges: ["x0", "y1"], across: 0, down: 1 },
  { edges: ["x0"], across: 0, down: 0.5 },
];

/**
 * The box between two places.
 * @param {{x: number, y: number}} from
 * @param {{x: number, y: number}} to
 * @param {Photo} photo
 * @returns {Box}
 */
export function boxBetween(from, to, photo) {
  return settled({ x0: from.x, y0: from.y, x1: to.x, y1: to.y, label: "" }, photo);
}

/** The box moved, as far as the photograph reaches. */
export function moved(box, by, photo) {
  const x = within(by.x, -box.x0, photo.width - box.x1);
  const y = within(by.y, -box.y0, photo.height - box.y1);
  return { ...box, x0: box.x0 + x, x1: box.x1 + x, y0: box.y0 + y, y1: box.y1 + y };
}

/** The box with some of its edges moved; an edge that passes its opposite takes its place. */
export function resized(box, edges, by, photo) {
  const other = { ...box };
  for (const edge of edges) other[edge] += edge[0] === "x" ? by.x : by.y;
  return settled(other, photo);
}

/** Whether a box has an area that somebody can see; a click makes one that has none. */
export function hasArea(box, least) {
  return box.x1 - box.x0 >= least && box.y1 - box.y0 >= least;
}

function settled({ x0, y0, x1, y1, label }, { width, height }) {
  const [left, right] = [within(x0, 0, width), within(x1, 0, width)].sort((a, b) => a - b);
  const [top, bottom] = [within(y0, 0, height), within(y1, 0, height)].sort((a, b) => a - b);
  return { x0: left, y0: top, x1: right, y1: bottom, label };
}

function within(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
