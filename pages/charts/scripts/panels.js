/**
 * Where the panels of a drawn figure lie, and which cell of a map is at a place of the photograph.
 *
 * Places are in pixels of the photograph; points are in pixels of the figure, from its top left corner.
 */

/**
 * Cells of one map: the centre of the first, the way to the next, and how many.
 * @typedef {{x0: number, dx: number, columns: number, y0: number, dy: number, rows: number}} Grid
 */

/**
 * The cell that covers a place of the photograph.
 * @param {Grid} grid
 * @param {number} x
 * @param {number} y
 * @returns {{row: number, column: number} | null} null where no cell is
 */
export function cellAt(grid, x, y) {
  const column = Math.floor((x - grid.x0) / grid.dx + 0.5);
  const row = Math.floor((y - grid.y0) / grid.dy + 0.5);
  const inside = column >= 0 && column < grid.columns && row >= 0 && row < grid.rows;
  return inside ? { row, column } : null;
}

/**
 * The edges of a cell on the photograph.
 * @param {Grid} grid
 * @param {{row: number, column: number}} cell
 */
export function cellEdges(grid, { row, column }) {
  const [x, y] = [grid.x0 + column * grid.dx, grid.y0 + row * grid.dy];
  const [halfX, halfY] = [Math.abs(grid.dx) / 2, Math.abs(grid.dy) / 2];
  return { x0: x - halfX, y0: y - halfY, x1: x + halfX, y1: y + halfY };
}

/** One panel: its axes as Plotly has laid them out, and of a map its trace. */
export class Panel {
  /**
   * @param {object} layout Plotly's full layout
   * @param {[string, string]} axes their names, such as x3 and y2
   * @param {object | null} trace the map as Python sent it, null for the photograph
   */
  constructor(layout, axes, trace) {
    this.x = layout[axisKey(axes[0])];
    this.y = layout[axisKey(axes[1])];
    this.name = trace?.name ?? "";
    this.trace = trace;
    this.grid = trace && gridOf(trace);
  }

  /** The panel on the figure. */
  get frame() {
    return { left: this.x._offset, top: this.y._offset, width: this.x._length, height: this.y._length };
  }

  /** Whether a point of the figure is on this panel. */
  holds(point) {
    const { left, top, width, height } = this.frame;
    return point.x >= left && point.x <= left + width && point.y >= top && point.y <= top + height;
  }

  /** The place of the photograph at a point of the figure. */
  placeAt(point) {
    return { x: this.x.p2c(point.x - this.x._offset), y: this.y.p2c(point.y - this.y._offset) };
  }

  /** The point of the figure at a place of the photograph. */
  pointAt(place) {
    return { x: this.x.c2p(place.x) + this.x._offset, y: this.y.c2p(place.y) + this.y._offset };
  }

  /** A rectangle of the photograph on the figure. */
  rectangle({ x0, y0, x1, y1 }) {
    const [from, to] = [this.pointAt({ x: x0, y: y0 }), this.pointAt({ x: x1, y: y1 })];
    return { x: from.x, y: from.y, width: to.x - from.x, height: to.y - from.y };
  }

  /** Value and percentile of a cell; null where the trace has none, as a picture of colours. */
  numbersAt({ row, column }) {
    if (this.trace?.type !== "heatmap") return null;
    const told = this.trace.customdata?.[row]?.[column];
    return { value: this.trace.z[row][column], percentile: told?.[0] ?? told };
  }
}

/**
 * All panels of a figure: the photograph's, then those of its maps.
 * @param {object} chart the element that Plotly has drawn
 * @param {[string, string]} photoAxes
 * @param {object[]} traces what was drawn, as Python sent it
 * @returns {Panel[]}
 */
export function panelsOf(chart, photoAxes, traces) {
  const maps = traces.filter((trace) => ["heatmap", "image"].includes(trace.type));
  return [
    new Panel(chart._fullLayout, photoAxes, null),
    ...maps.map((trace) => new Panel(chart._fullLayout, [trace.xaxis, trace.yaxis], trace)),
  ];
}

function gridOf(trace) {
  const { x0, dx, y0, dy, z } = trace;
  return { x0, dx, columns: z[0].length, y0, dy, rows: z.length };
}

/** What a figure's layout calls an axis: of x3 it is xaxis3. */
export function axisKey(name) {
  return `${name[0]}axis${name.slice(1)}`;
}
