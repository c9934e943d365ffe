/**
 * Plotly's library, from the package that Python has of it.
 *
 * It is five megabytes of script: the first part of a page that asks for it has it fetched and read, for all of them.
 */

/** @returns {Promise<object>} the library */
export function plotly() {
  window.convfePlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../plotly.library/plotly.min.js", import.meta.url).href;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("Plotly's library did not arrive from the server; reload the page."));
    document.head.append(script);
  });
  return window.convfePlotly;
}
