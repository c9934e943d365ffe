/**
 * One cursor for all panels of a row: the same place of the photograph, the cell there, and what it says.
 *
 * Nothing here asks the server or Plotly: a move sets a few attributes, once a frame.
 */

import { cellAt, cellEdges } from "./panels.js";
import { set, svg } from "./svg.js";

const LABEL_HEIGHT = 16;
const LABEL_LETTER = 6.2;

export class Cursor {
  /**
   * @param {HTMLElement} figure listens to the mouse and the finger
   * @param {SVGElement} overlay
   * @param {HTMLElement} readout the line below the row
   */
  constructor(figure, overlay, readout) {
    this.figure = figure;
    this.readout = readout;
    this.layer = svg("g", { class: "convfe-cursor", visibility: "hidden" }, overlay);
    this.marks = [];
    this.panels = [];
    this.frame = 0;
    figure.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.follow(event));
    figure.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hide());
    figure.addEventListener("pointerup", (event) => event.pointerType !== "mouse" && this.follow(event));
  }

  /** Take the panels as they lie now. */
  place(panels, photo) {
    this.panels = panels;
    this.photo = photo;
    while (this.marks.length < panels.length) this.marks.push(new Mark(this.layer));
    while (this.marks.length > panels.length) this.marks.pop().remove();
    if (this.point) this.draw();
  }

  /** Go where the pointer is, with the next frame. */
  follow({ clientX, clientY }) {
    const { left, top, width } = this.figure.getBoundingClientRect();
    const scale = width / this.figure.offsetWidth;
    this.point = { x: (clientX - left) / scale, y: (clientY - top) / scale };
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  hide() {
    this.close();
    this.layer.setAttribute("visibility", "hidden");
    this.readout.textContent = "";
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.point = null;
  }

  draw() {
    this.frame = 0;
    const under = this.panels.find((panel) => panel.holds(this.point));
    const place = under?.placeAt(this.point);
    if (!place || place.x < 0 || place.y < 0 || place.x > this.photo.width || place.y > this.photo.height) {
      this.hide();
      return;
    }
    this.layer.setAttribute("visibility", "visible");
    this.panels.forEach((panel, index) => this.marks[index].put(panel, place));
    this.readout.textContent = said(under, place);
  }
}

/** Cross, cell and numbers on one panel. */
class Mark {
  constructor(layer) {
    this.group = svg("g", {}, layer);
    this.cross = svg("path", { class: "convfe-cross" }, this.group);
    this.cell = svg("rect", { class: "convfe-cell" }, this.group);
    this.ground = svg("rect", { class: "convfe-label", height: LABEL_HEIGHT, rx: 3 }, this.group);
    this.text = svg("text", { class: "convfe-numbers" }, this.group);
  }

  put(panel, place) {
    const { left, top, width, height } = panel.frame;
    const point = panel.pointAt(place);
    const seen = panel.holds(point);
    this.group.setAttribute("visibility", seen ? "inherit" : "hidden");
    if (!seen) return;
    this.cross.setAttribute("d", `M${left} ${point.y}h${width}M${point.x} ${top}v${height}`);
    const cell = panel.grid && cellAt(panel.grid, place.x, place.y);
    set(this.cell, cell ? clipped(panel.rectangle(cellEdges(panel.grid, cell)), panel.frame) : { width: 0, height: 0 });
    const numbers = cell && panel.numbersAt(cell);
    const words = numbers ? `${short(numbers.value)} · ${whole(numbers.percentile)} %` : "";
    const across = words.length * LABEL_LETTER + 6;
    // The numbers stand in the half of the panel where the cursor is not.
    const down = point.y > top + height / 2 ? top + 3 : top + height - LABEL_HEIGHT - 3;
    const start = left + Math.max(0, (width - across) / 2);
    set(this.ground, { x: start, y: down, width: words ? across : 0 });
    set(this.text, { x: start + across / 2, y: down + 12 });
    this.text.textContent = words;
  }

  remove() {
    this.group.remove();
  }
}

/** The line below the row: the place, and the cell under the pointer. */
function said(panel, place) {
  const where = `pixel x ${whole(place.x)}, y ${whole(place.y)}`;
  if (!panel.grid) return where;
  const cell = cellAt(panel.grid, place.x, place.y);
  if (!cell) return `${panel.name}: no cell at ${where}`;
  const numbers = panel.numbersAt(cell);
  const value = numbers ? ` ${short(numbers.value)}, percentile ${whole(numbers.percentile)} of the map;` : "";
  return `${panel.name}:${value} ${where}; cell row ${cell.row}, column ${cell.column}`;
}

function short(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "no number";
}

function whole(value) {
  return Number.isFinite(value) ? value.toFixed(0) : "–";
}

function clipped({ x, y, width, height }, frame) {
  const [left, top] = [Math.max(x, frame.left), Math.max(y, frame.top)];
  const right = Math.min(x + width, frame.left + frame.width);
  const bottom = Math.min(y + height, frame.top + frame.height);
  return { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
}
