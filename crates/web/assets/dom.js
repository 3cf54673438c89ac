// Makes elements. What is given as text reaches the document as text: nothing here, and nothing
// anywhere on the page, parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element of HTML. Attributes that are null or false are left out; `onclick` listens. */
export function h(tag, attributes, ...children) {
  return complete(document.createElement(tag), attributes, children);
}

/** Makes an element of SVG. */
export function svg(tag, attributes, ...children) {
  return complete(document.createElementNS(SVG, tag), attributes, children);
}

function complete(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

/** Replaces what an element contains. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** Sets a text only where it differs, so that screen readers and selections are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}
