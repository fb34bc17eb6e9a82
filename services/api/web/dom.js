// Elements made of plain values, and the one way they come onto the page.
//
// A view builds the whole tree it wants to see; `patch` changes what is there into it and leaves alone
// what is the same, so that focus, scroll positions, selections and half-filled forms survive a refresh.
// Text is only ever set as text: there is no way in here from a string to markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked"]);
/** With these a text reads otherwise than the program does that gets it, so they are shown. */
const TURNING = /[\u202A-\u202E\u2066-\u2069]/g;
const named = (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase()}]`;

/** Make an HTML element. `on…` are handlers, `key` tells siblings apart, `mount` makes the inside the caller's own. */
export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);

/** Make an SVG element. */
export const s = (tag, props, ...children) => build(document.createElementNS(SVG, tag), props, children);

function build(node, props, children) {
  append(node, children);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "key") node.key = String(value);
    else if (name === "mount") node.mount = value;
    // Whatever a handler returns: false would cancel the event, such as a key that somebody types.
    else if (name.startsWith("on")) (node.handlers ??= {})[name] = node[name] = (event) => { value(event); };
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (PROPERTIES.has(name)) { node[name] = value; node.controlled = true; }
    else node.setAttribute(name, value === true ? "" : value);
  }
  // Unchecked is a value, too.
  if (props && props.checked === false) node.controlled = true;
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child).replace(TURNING, named));
  }
}

/** Make `parent` contain `children` and nothing else. What has the focus keeps it; if it went away, what is around it gets it. */
export function patch(parent, ...children) {
  const wanted = document.createElement("div");
  append(wanted, children);
  const focused = document.activeElement;
  const inside = focused !== parent && parent.contains(focused);
  patchChildren(parent, wanted);
  // The browser takes it from an element that is moved, too.
  if (inside && document.activeElement === document.body) refocus(focused, parent);
}

/** Give the focus to `element`, or, if that is not on the page any more, to what is around `place`. */
export const refocus = (element, place) =>
  (element.isConnected ? element : place.closest("[tabindex]"))?.focus({ preventScroll: true });

function patchChildren(from, to) {
  const keyed = new Map();
  for (const child of from.childNodes) if (child.key !== undefined) keyed.set(child.key, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    let old = wanted.key !== undefined ? keyed.get(wanted.key) : at;
    if (old && (old.nodeName !== wanted.nodeName || old.key !== wanted.key)) old = undefined;
    if (old === undefined || old === null) {
      from.insertBefore(wanted, at);
      mounted(wanted);
      continue;
    }
    keyed.delete(wanted.key);
    if (old === at) at = at.nextSibling;
    else from.insertBefore(old, at);
    patchNode(old, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    unmounted(at);
    at.remove();
    at = next;
  }
}

function patchNode(from, to) {
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) {
    // A person opens the one, and an action that is under way disables the other, not the view.
    const kept = (name === "open" && from.nodeName === "DETAILS") || (name === "disabled" && from.busy);
    if (!to.hasAttribute(name) && !kept) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) === value) continue;
    // The page's policy forbids style attributes, and allows styles that a program sets.
    if (name === "style") from.style.cssText = value;
    else from.setAttribute(name, value);
  }
  for (const name of Object.keys({ ...from.handlers, ...to.handlers })) from[name] = to.handlers?.[name] ?? null;
  from.handlers = to.handlers;
  if (to.mount) return;
  patchChildren(from, to);
  // What somebody is typing stays; a box is ticked in an instant.
  if (to.controlled && (from !== document.activeElement || from.type === "checkbox")) {
    for (const name of PROPERTIES) if (name in to && from[name] !== to[name]) from[name] = to[name];
  }
}

function mounted(node) {
  if (node.mount) node.ended = node.mount(node);
  else for (const child of node.childNodes) mounted(child);
}

function unmounted(node) {
  node.ended?.();
  for (const child of node.childNodes) unmounted(child);
}
