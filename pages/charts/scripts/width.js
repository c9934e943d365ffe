/** Tells Python how wide the page's contents may be, at first and when the window has changed. */

const STEP = 8;
const PAUSE_MS = 150;
/** @type {WeakMap<Element, Watch>} */
const watches = new WeakMap();

/** What Streamlit calls when the page is drawn, and again when Python knows another width. */
export default function watch({ parentElement, data, setStateValue }) {
  if (!watches.has(parentElement)) watches.set(parentElement, new Watch(parentElement));
  const one = watches.get(parentElement);
  one.known = data.width;
  one.setStateValue = setStateValue;
  return () => one.observer.disconnect();
}

class Watch {
  /** @param {Element} parent */
  constructor(parent) {
    this.block = parent.closest('[data-testid="stMainBlockContainer"]');
    this.observer = new ResizeObserver(() => {
      clearTimeout(this.pause);
      // At once when the page is new; later, when the visitor has let go of the window's edge.
      this.pause = setTimeout(() => this.tell(), this.told ? PAUSE_MS : 0);
    });
    this.observer.observe(this.block);
  }

  tell() {
    const { paddingLeft, paddingRight } = getComputedStyle(this.block);
    const exact = this.block.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    const width = Math.floor(exact / STEP) * STEP;
    this.told = true;
    if (width > 0 && width !== this.known) this.setStateValue("width", width);
  }
}
