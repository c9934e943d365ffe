/** Buttons for boxes, and the name of the chosen one; they are there only while objects are marked. */

let toolbars = 0;

export class Toolbar {
  /**
   * @param {HTMLElement} element
   * @param {{add: () => void, remove: () => void, name: (label: string) => void}} asks
   */
  constructor(element, asks) {
    this.element = element;
    this.add = button(element, "Add a box", asks.add);
    this.remove = button(element, "Delete it", asks.remove);
    this.name = document.createElement("input");
    this.name.type = "text";
    this.name.placeholder = "Name, if wanted";
    this.name.maxLength = 60;
    this.name.setAttribute("aria-label", "Name of the chosen box");
    this.name.addEventListener("change", () => asks.name(this.name.value.trim()));
    this.names = document.createElement("datalist");
    toolbars += 1;
    this.names.id = `convfe-names-${toolbars}`;
    this.name.setAttribute("list", this.names.id);
    this.hint = document.createElement("span");
    this.hint.textContent = "Drag on the photograph.";
    element.append(this.name, this.names, this.hint);
    element.hidden = true;
  }

  take(marking, labels) {
    this.element.hidden = !marking;
    this.names.replaceChildren(...labels.map((label) => new Option(label)));
  }

  /** Show what is known of the chosen box, if there is one. */
  choose(box) {
    this.remove.disabled = !box;
    this.name.disabled = !box;
    this.hint.hidden = Boolean(box);
    if (document.activeElement !== this.name) this.name.value = box?.label ?? "";
  }
}

function button(parent, words, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = words;
  element.addEventListener("click", act);
  parent.append(element);
  return element;
}
