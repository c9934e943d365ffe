/** What Python says of a panel: a few words above its right corner, and a line around the one that is best. */

import { svg } from "./svg.js";

const ABOVE = 11;
const LETTER = 6.6;
const HALF_A_TITLE = 20;

export class Remarks {
  /** @param {SVGElement} overlay */
  constructor(overlay) {
    this.layer = svg("g", {}, overlay);
  }

  /**
   * @param {import("./panels.js").Panel[]} panels
   * @param {{outlined: string[], notes: Record<string, string>}} said by the names of maps
   */
  place(panels, { outlined, notes }) {
    this.layer.replaceChildren();
    for (const panel of panels.filter(({ grid }) => grid)) {
      const { left, top, width, height } = panel.frame;
      if (outlined.includes(panel.name)) {
        svg("rect", { class: "convfe-best", x: left, y: top, width, height }, this.layer);
      }
      if (notes[panel.name]) {
        const note = svg("text", { class: "convfe-note", x: left + width, y: top - ABOVE }, this.layer);
        note.textContent = fitting(notes[panel.name], width / 2 - HALF_A_TITLE);
      }
    }
  }
}

/** A note, or where it would run into the panel's title its last word alone, which is the number. */
function fitting(note, room) {
  return note.length * LETTER <= room ? note : note.split(" ").at(-1);
}
