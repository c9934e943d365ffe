/**
 * The pictures of a row where Plotly will lay them, to be seen while its library is still on its way.
 */

import { axisKey } from "./panels.js";
import { svg } from "./svg.js";

/**
 * Draw the pictures that lie on panels, without titles and scales.
 * @param {Element} parent
 * @param {object} layout of the figure, as Python sent it
 * @param {object[]} images Plotly's pictures, see `paint`
 * @param {boolean} smoothed
 * @returns {Element} to be removed when the figure is there
 */
export function sketch(parent, layout, images, smoothed) {
  const { width, height } = layout;
  const drawing = svg("svg", { class: "convfe-overlay convfe-sketch", viewBox: `0 0 ${width} ${height}` }, parent);
  drawing.style.imageRendering = smoothed ? "auto" : "pixelated";
  for (const { xref, yref, x, y, sizex, sizey, source, opacity = 1, name } of images) {
    if (name === "scale") continue;
    const [across, down] = [layout[axisKey(xref)], layout[axisKey(yref)]];
    const panel = {
      x: width * across.domain[0],
      y: height * (1 - down.domain[1]),
      width: width * (across.domain[1] - across.domain[0]),
      height: height * (down.domain[1] - down.domain[0]),
      viewBox: `0 0 ${across.range[1]} ${down.range[0]}`, // pixels of the photograph
      preserveAspectRatio: "none",
    };
    const place = { x, y, width: sizex, height: sizey, preserveAspectRatio: "none" };
    svg("image", { ...place, href: source, opacity }, svg("svg", panel, drawing));
  }
  return drawing;
}
