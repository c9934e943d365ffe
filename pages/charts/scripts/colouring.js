/**
 * Keeps what Python says of how values become colours, and tells the rows of the page when that changes.
 *
 * Each component is a script of its own, with modules of its own: what they share lies in the window.
 */

import { plotlyAhead } from "./library.js";

plotlyAhead(); // the rows will need it

/** What Streamlit calls when the page is drawn, and again at other colours. */
export default function tell({ data }) {
  const said = JSON.stringify(data);
  if (window.convfeColouring?.said === said) return;
  window.convfeColouring = { said, ...data };
  window.dispatchEvent(new Event("convfe-colouring"));
}
