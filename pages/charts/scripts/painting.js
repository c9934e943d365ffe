/**
 * Maps as pictures that Plotly lays on their panels.
 *
 * Plotly would work out a heatmap's pixels itself, and go through the whole figure again at each change of colours: some
 * forty milliseconds a row. Pictures made here and exchanged take six.
 */

import { finer, unpacked } from "./maps.js";

/**
 * How values become colours.
 * @typedef {{table: object, smoothed: boolean, opacity: number}} Colouring
 *   table: (256, 3) from the lowest value to the highest, packed; opacity: of the maps over the photograph
 */

/**
 * The pictures of a figure: the photograph, the maps, and the colour scales below these.
 * @param {{data: object[], layout: object}} figure as Python sent it
 * @param {[string, string]} photoAxes
 * @param {Colouring} colouring
 * @returns {{images: object[], sources: Set<string>}} Plotly's pictures, and which sources are those of maps
 */
export function paint(figure, photoAxes, colouring) {
  const { smoothed, opacity } = colouring;
  const colours = Uint32Array.from(unpacked(colouring.table), opaque);
  const traces = figure.data.filter(({ type }) => type === "heatmap" || type === "image");
  const maps = traces.map((trace) => ({
    ...placed(smoothed && trace.type === "heatmap" ? { ...trace, ...finer(trace) } : trace, colours),
    layer: "below",
    opacity,
  }));
  const photo = figure.layout.images.find(({ xref, yref }) => xref === photoAxes[0] && yref === photoAxes[1]);
  const below = opacity < 1 ? maps.map(({ xref, yref }) => ({ ...photo, xref, yref })) : [];
  const ramp = uri(colours.length, 1, (k) => colours[k]);
  const rest = figure.layout.images.map((one) => (one.name === "scale" ? { ...one, source: ramp, opacity } : one));
  return { images: [...below, ...maps, ...rest], sources: new Set(maps.map(({ source }) => source)) };
}

/** A map as a picture of a pixel a cell, on the ground that its cells cover. */
function placed(trace, colours) {
  const { x0, dx, y0, dy, z, xaxis, yaxis } = trace;
  const [rows, columns] = [z.length, z[0].length];
  const colourOf = trace.type === "heatmap" ? scaled(trace, colours) : opaque;
  // Plotly lays a picture from its upper left corner; where cells run the other way it is turned.
  const [left, top] = [dx < 0, dy < 0];
  const cell = (k) => {
    const [row, column] = [Math.floor(k / columns), k % columns];
    return colourOf(z[top ? rows - 1 - row : row][left ? columns - 1 - column : column]);
  };
  return {
    source: uri(columns, rows, cell),
    xref: xaxis,
    yref: yaxis,
    x: Math.min(x0, x0 + (columns - 1) * dx) - Math.abs(dx) / 2,
    y: Math.min(y0, y0 + (rows - 1) * dy) - Math.abs(dy) / 2,
    sizex: columns * Math.abs(dx),
    sizey: rows * Math.abs(dy),
    sizing: "stretch",
  };
}

/** What gives a value its colour on a scale; it is clear where it is no number. */
function scaled({ zmin, zmax }, colours) {
  const last = colours.length - 1;
  return (value) =>
    Number.isFinite(value)
      ? colours[Math.round(Math.max(0, Math.min(1, (value - zmin) / (zmax - zmin))) * last)]
      : CLEAR;
}

const CLEAR = 0;

/** A colour as the four bytes of a pixel in one number. */
function opaque([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const canvas = document.createElement("canvas");

/**
 * A picture as a data address.
 * @param {(pixel: number) => number} colourOf of the pixels line by line
 */
function uri(width, height, colourOf) {
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const picture = pen.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let k = 0; k < pixels.length; k += 1) pixels[k] = colourOf(k);
  pen.putImageData(picture, 0, 0);
  return canvas.toDataURL();
}
