/**
 * A row of panels that stays mounted: the figure comes from Python, Plotly draws it, another one is a `Plotly.react`.
 *
 * How values become colours is told for all rows together; other colours are other pictures on the same figure.
 * Cursor and boxes are drawn on an overlay of their own, so that they never make Plotly draw.
 */

import { Boxes } from "./boxes.js";
import { Cursor } from "./cursor.js";
import { plotly } from "./library.js";
import { readFigure } from "./maps.js";
import { paint } from "./painting.js";
import { panelsOf } from "./panels.js";
import { Remarks } from "./remarks.js";
import { sketch } from "./sketch.js";
import { set, svg } from "./svg.js";
import { drawInTurn, withdraw } from "./turns.js";
import { roomAround } from "./width.js";

// A double click shows the whole photograph again, whatever of it was shown.
const CONFIG = { displaylogo: false, doubleClick: "reset", modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] };
const PATIENCE_MS = 2000;
/** @type {Promise<unknown>} that it is known how values become colours */
const coloured = new Promise((resolve) => {
  if (window.convfeColouring) resolve();
  else window.addEventListener("convfe-colouring", resolve, { once: true });
});
/** @type {WeakMap<Element, Row>} */
const rows = new WeakMap();

/** What Streamlit calls when the row is mounted, and again whenever its data change. */
export default function show({ parentElement, data, setStateValue }) {
  if (!rows.has(parentElement)) rows.set(parentElement, new Row(parentElement));
  const row = rows.get(parentElement);
  row.show(data, setStateValue);
  return () => row.close();
}

class Row {
  /** @param {Element} parent */
  constructor(parent) {
    this.parent = parent;
    this.element = append(parent, "div", "convfe-row");
    this.figure = append(this.element, "div", "convfe-figure");
    this.chart = append(this.figure, "div", "convfe-chart");
    this.overlay = svg("svg", { class: "convfe-overlay" }, this.figure);
    this.tools = append(this.element, "div", "convfe-tools");
    this.readout = append(this.element, "div", "convfe-readout");
    this.cursor = new Cursor(this.figure, this.overlay, this.readout);
    this.boxes = new Boxes(this.overlay, this.tools);
    this.remarks = new Remarks(this.overlay);
    this.drawn = null;
    this.drawings = 0;
    this.begun = false;
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(this.element);
    this.onResize = () => this.fit();
    window.addEventListener("resize", this.onResize);
    this.onColouring = () => this.begun && this.begin();
    window.addEventListener("convfe-colouring", this.onColouring);
  }

  /**
   * Show what Python says now; the figure is drawn again only if it is another one.
   * @param {object} data
   * @param {(name: string, value: unknown) => void} setStateValue
   */
  show(data, setStateValue) {
    const same = this.data?.figure === data.figure;
    this.data = data;
    if (!same) this.drawing = readFigure(JSON.parse(data.figure));
    set(this.chart, { role: "img", "aria-label": data.alt });
    this.element.style.setProperty("--convfe-box", data.boxColour);
    this.boxes.take(data, setStateValue);
    this.fit();
    if (same && this.begun) this.annotate();
    else if (this.begun || this.suits) this.begin();
    else this.patience ??= setTimeout(() => this.begin(), PATIENCE_MS);
  }

  /** Whether the figure was made for the window as it is; if not, another one comes as soon as Python knows. */
  get suits() {
    return this.data.room === null || this.data.room === roomAround(this.parent);
  }

  begin() {
    this.begun = true;
    clearTimeout(this.patience);
    coloured.then(() => this.sketch());
    drawInTurn(this.element, () => this.draw());
  }

  /** Show the pictures alone while Plotly's library is on its way, which takes a second or more. */
  sketch() {
    if (window.Plotly) return;
    this.sketched?.remove();
    this.sketched = sketch(this.figure, this.drawing.layout, this.pictures.images, window.convfeColouring.smoothed);
  }

  /** The row's pictures, painted once for a figure and its colours, whoever asks first. */
  get pictures() {
    const [figure, colours] = [this.drawing, window.convfeColouring];
    if (this.painted?.figure !== figure || this.painted.colours !== colours) {
      this.painted = { figure, colours, ...paint(figure, this.data.photo.axes, colours) };
    }
    return this.painted;
  }

  async draw() {
    const Plotly = await plotly();
    await coloured;
    const { images, sources } = this.pictures;
    if (this.drawn === this.drawing) await Plotly.relayout(this.chart, { images });
    else await this.drawFigure(Plotly, images);
    this.drawn = this.drawing;
    this.chart.traces = this.drawing.data; // for who looks for the numbers of a drawn row
    this.sketched?.remove();
    this.chart.classList.toggle("convfe-cells", !window.convfeColouring.smoothed);
    for (const image of this.chart.querySelectorAll("image")) {
      image.classList.toggle("convfe-map", sources.has(image.getAttribute("href")));
    }
    this.annotate();
  }

  async drawFigure(Plotly, images) {
    const { data: traces, layout } = this.drawing;
    this.drawings += 1;
    await Plotly.react(
      this.chart,
      traces.filter((trace) => trace.type === "scatter"), // maps are pictures, which Plotly need not read
      {
        ...layout,
        images,
        hovermode: false,
        // Without a mouse a finger scrolls the page; with one a drag zooms.
        dragmode: matchMedia("(pointer: coarse)").matches ? false : layout.dragmode,
        datarevision: this.drawings,
        uirevision: this.data.photo.digest,
      },
      CONFIG,
    );
    if (this.drawings === 1) this.chart.on("plotly_relayout", () => this.annotate());
  }

  /** Bring cursor and boxes to where the panels are now. */
  annotate() {
    if (!this.chart._fullLayout) return;
    const panels = panelsOf(this.chart, this.data.photo.axes, this.drawing.data);
    this.cursor.place(panels, this.data.photo);
    this.boxes.place(panels);
    this.remarks.place(panels, this.data);
  }

  /** Make the figure as large as it may be: in a meeting as the window, else no wider than its place. */
  fit() {
    if (!this.data) return;
    const { width, height } = this.drawing.layout;
    const { around, least, most } = this.data.fit;
    const across = this.element.clientWidth / width;
    const down = around === null ? Infinity : (innerHeight - around) / height;
    const scale = Math.max(least, Math.min(across, down, most ?? Infinity));
    this.figure.style.cssText = `width: ${width}px; height: ${height}px; transform: scale(${scale});
      margin: 0 ${(scale - 1) * width}px ${(scale - 1) * height}px 0`;
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  close() {
    clearTimeout(this.patience);
    withdraw(this.element);
    this.sizes.disconnect();
    window.removeEventListener("resize", this.onResize);
    window.removeEventListener("convfe-colouring", this.onColouring);
    this.cursor.close();
    this.boxes.close();
    window.Plotly?.purge(this.chart);
    this.element.remove();
    rows.delete(this.parent);
  }
}

function append(parent, tag, name) {
  const element = document.createElement(tag);
  element.className = name;
  parent.append(element);
  return element;
}
