/**
 * The maps of a figure as they come from Python, and smoothed.
 *
 * A few values between the cells look as if there were one for every pixel; the browser blends what is between these.
 */

const FINE = 64;
const MOST_STEPS = 5;

/**
 * Read the numbers of a figure's maps, which come packed in base64.
 * @param {{data: object[], layout: object}} figure
 */
export function readFigure(figure) {
  const data = figure.data.map((trace) =>
    trace.z ? { ...trace, z: unpacked(trace.z), customdata: unpacked(trace.customdata) } : trace,
  );
  return { ...figure, data };
}

/**
 * A map's values at finer cells on the same ground.
 * @param {{z: number[][], x0: number, dx: number, y0: number, dy: number}} cells
 */
export function finer({ z, x0, dx, y0, dy }) {
  const [rows, columns] = [z.length, z[0].length];
  const wanted = Math.min(MOST_STEPS, FINE / Math.max(rows, columns));
  const steps = Math.max(1, 2 * Math.floor((wanted - 1) / 2) + 1); // an odd number: one of them is the cell's own value
  const [down, across] = [between(rows, steps), between(columns, steps)];
  const along = z.map((row) => across.map(({ from, to, share }) => row[from] + (row[to] - row[from]) * share));
  return {
    z: down.map(({ from, to, share }) => along[from].map((value, k) => value + (along[to][k] - value) * share)),
    x0: x0 - (dx * (1 - 1 / steps)) / 2,
    dx: dx / steps,
    y0: y0 - (dy * (1 - 1 / steps)) / 2,
    dy: dy / steps,
  };
}

/** For each of the steps that cells are cut into, the cells whose centres it lies between, and how far. */
function between(cells, steps) {
  return Array.from({ length: cells * steps }, (_, step) => {
    const place = Math.max(0, Math.min(cells - 1, (step + 0.5) / steps - 0.5));
    const from = Math.floor(place);
    return { from, to: Math.min(from + 1, cells - 1), share: place - from };
  });
}

const KINDS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, i4: Int32Array };

/** Numbers of any shape as nested arrays; what is not packed stays as it is. */
export function unpacked(packed) {
  if (!packed?.bdata) return packed;
  const bytes = Uint8Array.from(atob(packed.bdata), (letter) => letter.charCodeAt(0));
  const shape = packed.shape.split(", ").map(Number);
  return nested([...new KINDS[packed.dtype](bytes.buffer)], shape);
}

function nested(numbers, [count, ...rest]) {
  if (!rest.length) return numbers;
  const size = numbers.length / count;
  return Array.from({ length: count }, (_, k) => nested(numbers.slice(k * size, (k + 1) * size), rest));
}
