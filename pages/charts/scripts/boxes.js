/**
 * Boxes around objects: drawn on the photograph by mouse, finger or keyboard, and shown on every map.
 *
 * Python says which boxes there are. What the visitor changes is sent to it with a number, and what Python says counts
 * again once it has that number: an older answer never takes back a newer change.
 */

import { HANDLES, boxBetween, hasArea, moved, resized } from "./box_edits.js";
import { set, svg } from "./svg.js";
import { Toolbar } from "./toolbar.js";

const LEAST_POINTS = 4;
const KEY_PAUSE_MS = 300;
const HANDLE_REACH = 6;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Boxes {
  /**
   * @param {SVGElement} overlay
   * @param {HTMLElement} tools place of the buttons
   */
  constructor(overlay, tools) {
    this.overlay = overlay;
    this.outlines = [];
    this.layer = svg("svg", { class: "convfe-boxes" }, overlay);
    this.sheet = svg("rect", { class: "convfe-sheet", fill: "transparent" }, this.layer);
    this.shown = [];
    this.boxes = [];
    this.panels = [];
    this.edit = 0;
    this.chosen = -1;
    this.toolbar = new Toolbar(tools, {
      add: () => this.addInTheMiddle(),
      remove: () => this.remove(),
      name: (label) => this.change({ ...this.boxes[this.chosen], label }),
    });
    this.sheet.addEventListener("pointerdown", (event) => this.begin(event, -1, []));
    // A finger on the photograph draws and does not scroll; touch-action alone does not tell Chromium so in drawings.
    this.layer.addEventListener("touchstart", (event) => this.marking && event.preventDefault(), { passive: false });
  }

  /** Take what Python says now, unless it has not yet heard of what was changed here. */
  take({ photo, boxes, edit, marking, labels }, setStateValue) {
    const another = this.photo?.digest !== photo.digest;
    if (another) {
      this.drag = null;
      clearTimeout(this.pause);
      this.pause = null;
    }
    if (another || (edit >= this.edit && !this.drag && !this.pause)) {
      if (another || boxes.length !== this.boxes.length) this.chosen = -1;
      this.boxes = boxes;
      this.edit = edit;
    }
    this.photo = photo;
    this.marking = marking;
    this.setStateValue = setStateValue;
    if (!marking) this.chosen = -1;
    this.toolbar.take(marking, labels);
    this.draw();
  }

  /** Take the panels as they lie now. */
  place(panels) {
    this.panels = panels;
    this.draw();
  }

  close() {
    clearTimeout(this.pause);
  }

  draw() {
    const [photo, ...maps] = this.panels;
    if (!photo) return;
    const { left, top, width, height } = photo.frame;
    lookAt(this.layer, photo.frame, HANDLE_REACH);
    set(this.sheet, { x: left, y: top, width, height, display: this.marking ? "inline" : "none" });
    while (this.shown.length < this.boxes.length) this.shown.push(this.newBox(this.shown.length));
    while (this.shown.length > this.boxes.length) this.shown.pop().remove();
    this.boxes.forEach((box, index) =>
      this.shown[index].put(box, photo, { number: index + 1, chosen: index === this.chosen, marking: this.marking }),
    );
    while (this.outlines.length < maps.length) this.outlines.push(newOutline(this.overlay));
    while (this.outlines.length > maps.length) this.outlines.pop().remove();
    maps.forEach((panel, index) => {
      lookAt(this.outlines[index], panel.frame, 1);
      const path = this.boxes.map((box) => outline(panel.rectangle(box))).join("");
      set(this.outlines[index].firstElementChild, { d: path });
    });
    this.toolbar.choose(this.boxes[this.chosen]);
  }

  newBox(index) {
    const box = new ShownBox(this.layer);
    box.body.addEventListener("pointerdown", (event) => this.begin(event, index, []));
    box.handles.forEach((handle, which) =>
      handle.addEventListener("pointerdown", (event) => this.begin(event, index, HANDLES[which].edges)),
    );
    box.group.addEventListener("keydown", (event) => this.press(event, index));
    box.group.addEventListener("focus", () => this.choose(index));
    return box;
  }

  choose(index) {
    this.chosen = this.marking ? index : -1;
    this.toolbar.choose(this.boxes[this.chosen]);
    this.draw();
  }

  /** A press of mouse or finger: on the photograph it begins a box, on a box it moves it, on a handle it resizes it. */
  begin(event, index, edges) {
    if (!this.marking || this.drag || event.button > 0) return;
    event.preventDefault();
    event.stopPropagation();
    const target = event.currentTarget;
    target.setPointerCapture(event.pointerId);
    this.drag = { index, edges, from: this.placeOf(event), before: this.boxes, moved: false };
    if (index >= 0) this.shown[index].group.focus({ preventScroll: true });
    this.choose(index);
    const follow = (moveEvent) => this.follow(moveEvent);
    const stop = (endEvent) => {
      target.removeEventListener("pointermove", follow);
      this.end(endEvent.type === "pointercancel");
    };
    target.addEventListener("pointermove", follow);
    target.addEventListener("pointerup", stop, { once: true });
    target.addEventListener("pointercancel", stop, { once: true });
  }

  follow(event) {
    if (!this.drag) return;
    const { index, edges, from, before } = this.drag;
    const to = this.placeOf(event);
    const by = { x: to.x - from.x, y: to.y - from.y };
    this.drag.moved = true;
    if (index < 0) {
      this.boxes = [...before, boxBetween(from, to, this.photo)];
      this.chosen = before.length;
    } else {
      const box = before[index];
      const other = edges.length ? resized(box, edges, by, this.photo) : moved(box, by, this.photo);
      this.boxes = before.with(index, other);
    }
    this.draw();
  }

  end(cancelled) {
    const { index, before, moved: any } = this.drag ?? { moved: false };
    this.drag = null;
    if (!any) return;
    const changed = this.boxes[index < 0 ? before.length : index];
    if (cancelled || !hasArea(changed, LEAST_POINTS * this.pixelsPerPoint())) {
      this.boxes = before;
      this.choose(index);
      return;
    }
    this.send();
    if (index < 0) this.shown[before.length].group.focus({ preventScroll: true });
  }

  press(event, index) {
    if (!this.marking) return;
    const arrow = ARROWS[event.key];
    if (!arrow && !["Delete", "Backspace", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") {
      this.shown[index].group.blur();
      this.choose(-1);
    } else if (!arrow) {
      this.remove();
    } else {
      const step = event.shiftKey ? 10 : 1;
      const by = { x: arrow[0] * step, y: arrow[1] * step };
      const box = this.boxes[index];
      const other = event.altKey ? resized(box, ["x1", "y1"], by, this.photo) : moved(box, by, this.photo);
      if (!hasArea(other, 1)) return;
      this.boxes = this.boxes.with(index, other);
      this.draw();
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.send(), KEY_PAUSE_MS);
    }
  }

  addInTheMiddle() {
    const { width, height } = this.photo;
    const box = boxBetween({ x: width / 3, y: height / 3 }, { x: (2 * width) / 3, y: (2 * height) / 3 }, this.photo);
    this.boxes = [...this.boxes, box];
    this.choose(this.boxes.length - 1);
    this.send();
    this.shown[this.chosen].group.focus({ preventScroll: true });
  }

  change(box) {
    this.boxes = this.boxes.with(this.chosen, box);
    this.draw();
    this.send();
  }

  remove() {
    if (this.chosen < 0) return;
    this.boxes = this.boxes.toSpliced(this.chosen, 1);
    this.chosen = Math.min(this.chosen, this.boxes.length - 1);
    this.draw();
    this.send();
    this.shown[this.chosen]?.group.focus({ preventScroll: true });
  }

  send() {
    clearTimeout(this.pause);
    this.pause = null;
    this.edit += 1;
    const boxes = this.boxes.map(rounded);
    this.setStateValue("marks", { digest: this.photo.digest, boxes, edit: this.edit });
  }

  placeOf({ clientX, clientY }) {
    const { left, top, width } = this.overlay.getBoundingClientRect();
    const scale = width / this.overlay.viewBox.baseVal.width;
    return this.panels[0].placeAt({ x: (clientX - left) / scale, y: (clientY - top) / scale });
  }

  /** Pixels of the photograph that one of the figure is. */
  pixelsPerPoint() {
    return this.panels[0].placeAt({ x: 1, y: 0 }).x - this.panels[0].placeAt({ x: 0, y: 0 }).x;
  }
}

/** One box on the photograph, with its handles and its name. */
class ShownBox {
  constructor(layer) {
    this.group = svg("g", { class: "convfe-box", role: "button" }, layer);
    this.body = svg("rect", { class: "convfe-body" }, this.group);
    this.name = svg("text", { class: "convfe-name" }, this.group);
    this.handles = HANDLES.map(() => svg("g", { class: "convfe-handle" }, this.group));
    for (const handle of this.handles) {
      svg("circle", { class: "convfe-reach", r: 12 }, handle);
      svg("rect", { class: "convfe-grip", x: -4, y: -4, width: 8, height: 8 }, handle);
    }
  }

  put(box, panel, { number, chosen, marking }) {
    const edges = panel.rectangle(box);
    const label = box.label ? `${number}: ${box.label}` : `${number}`;
    set(this.group, {
      tabindex: marking ? 0 : -1,
      "aria-label": `Box ${label}. Arrow keys move it, with Alt they resize it, Delete removes it.`,
      "data-chosen": chosen,
      "data-marking": marking,
    });
    set(this.body, edges);
    set(this.name, { x: edges.x + 4, y: edges.y + 13 });
    this.name.textContent = box.label;
    this.handles.forEach((handle, which) => {
      const { across, down } = HANDLES[which];
      const [x, y] = [edges.x + across * edges.width, edges.y + down * edges.height];
      set(handle, { transform: `translate(${x} ${y})`, display: chosen ? "inline" : "none" });
    });
  }

  remove() {
    this.group.remove();
  }
}

function outline({ x, y, width, height }) {
  return `M${x} ${y}h${width}v${height}h${-width}z`;
}

function newOutline(overlay) {
  const view = svg("svg", {}, overlay);
  svg("path", { class: "convfe-outline" }, view);
  overlay.prepend(view); // below the boxes that can be changed
  return view;
}

/** Let a drawing reach as far as a panel and a few points around it: the rest is cut off when the panel is zoomed. */
function lookAt(view, { left, top, width, height }, around) {
  const [x, y, across, down] = [left - around, top - around, width + 2 * around, height + 2 * around];
  set(view, { x, y, width: across, height: down, viewBox: `${x} ${y} ${across} ${down}` });
}

function rounded(box) {
  const edges = ["x0", "y0", "x1", "y1"].map((edge) => [edge, Math.round(box[edge] * 100) / 100]);
  return { ...Object.fromEntries(edges), label: box.label };
}
