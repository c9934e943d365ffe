/**
 * Tells Python how wide the page's contents may be, at first and when the window has changed.
 *
 * The browser remembers it for the next visit, whose first figures then fit at once.
 */

const STEP = 8;
const PAUSE_MS = 150;
const REMEMBERED_SECONDS = 365 * 24 * 3600;
/** @type {WeakMap<Element, Watch>} */
const watches = new WeakMap();

/** What Streamlit calls when the page is drawn, and again when Python knows another width. */
export default function watch({ parentElement, data, setStateValue }) {
  if (!watches.has(parentElement)) watches.set(parentElement, new Watch(parentElement, data.width));
  const one = watches.get(parentElement);
  one.setStateValue = setStateValue;
  return () => one.observer.disconnect();
}

/**
 * Pixels across that an element's part of the page has for contents, in steps.
 * @param {Element} element
 */
export function roomAround(element) {
  const block = blockAround(element);
  const { paddingLeft, paddingRight } = getComputedStyle(block);
  const exact = block.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return Math.floor(exact / STEP) * STEP;
}

function blockAround(element) {
  return element.closest('[data-testid="stMainBlockContainer"]');
}

class Watch {
  /**
   * @param {Element} parent
   * @param {number} width that Python goes by until it is told another
   */
  constructor(parent, width) {
    this.parent = parent;
    this.told = width;
    this.observer = new ResizeObserver(() => {
      clearTimeout(this.pause);
      // At once when the page is new; later, when the visitor has let go of the window's edge.
      this.pause = setTimeout(() => this.tell(), this.looked ? PAUSE_MS : 0);
    });
    this.observer.observe(blockAround(parent));
  }

  /** Each width once, since the page also changes its height: what is told starts a run. */
  tell() {
    const width = roomAround(this.parent);
    this.looked = true;
    if (width <= 0) return;
    document.cookie = `convfe_width=${width}; max-age=${REMEMBERED_SECONDS}; SameSite=Lax`;
    if (width === this.told) return;
    this.told = width;
    this.setStateValue("width", width);
  }
}
