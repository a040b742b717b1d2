// Build and change elements. Text always goes in as text, never as markup: symbols, reasons and
// rulesets come from outside.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return a new HTML element; `onclick: f` in the properties listens. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return a new SVG element. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Return the element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Write text, and touch the page only if it changed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, and touch the page only if it changed. */
export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/**
 * Make the children of `parent` show `items`, one element for each key, kept as long as its key
 * stays: focus, and a screen reader's place, survive an update.
 *
 * @returns the elements that are new
 */
export function keyed(parent, items, keyOf, create, update) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const old = new Map();
  for (const child of parent.children) old.set(child.dataset.key, child);
  const fresh = [];
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = key;
      fresh.push(child);
    }
    old.delete(key);
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) child.remove();
  // A browser takes the focus from an element that is moved.
  if (focused !== null && focused.isConnected && document.activeElement !== focused) {
    focused.focus({ preventScroll: true });
  }
  return fresh;
}
