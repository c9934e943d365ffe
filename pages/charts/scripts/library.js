/**
 * Plotly's library, from the package that Python has of it.
 *
 * It is five megabytes of script, which a browser reads for a second or more and does nothing else meanwhile.
 */

const ADDRESS = new URL("../plotly.library/plotly.min.js", import.meta.url).href;
const AHEAD_MS = 1500;

/**
 * Have the library fetched at once, and read when nobody has needed it for a moment.
 *
 * By then rows that come soon stand there as pictures.
 */
export function plotlyAhead() {
  if (window.convfePlotly) return;
  const link = Object.assign(document.createElement("link"), { rel: "preload", as: "script", href: ADDRESS });
  document.head.append(link);
  setTimeout(plotly, AHEAD_MS);
}

/** @returns {Promise<object>} the library, which the first part of a page that asks for it reads for all of them */
export function plotly() {
  window.convfePlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = ADDRESS;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("Plotly's library did not arrive from the server; reload the page."));
    document.head.append(script);
  });
  return window.convfePlotly;
}
