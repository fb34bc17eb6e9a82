// The picture of a workflow: steps in layers, each behind all that it depends on, with few crossings.
//
// Layered drawing in the usual four moves: layers by longest path; stand-ins where an edge passes a
// layer; order within a layer by the mean place of its neighbours, swept both ways; then places, pulled
// towards the neighbours and pushed apart.

import { layersOf } from "./block_layout.js";
import { s } from "./dom.js";
import { fitted } from "./fit.js";
import { sign, words } from "./status.js";

const WIDTH = 176;
const HEIGHT = 38;
const LETTERS = 12.5;
const SWEEPS = 6;
const SMALLEST = 0.72;
let cache = { key: "", layout: null };

/**
 * Draw `steps` of `{name, depends, label, href, note}`; `text` is shown instead of the name, `inner` steps are a sub-run's, and
 * `toggle` (`{href, open}`) opens what a step called. `across`: from left to right. `zoom`: how large, or 0 for as large
 * as fits and can still be read.
 */
export function graph(steps, { across, selected, zoom = 0 }) {
  const { places, edges, width, height } = layoutOf(steps, across);
  // Made smaller to fit, but not past reading.
  const size = zoom ? { width: `${width * zoom}px`, "max-width": "none" }
    : { width: `${width}px`, "min-width": `${Math.min(width, width * SMALLEST)}px` };
  const byName = new Map(steps.map((step) => [step.name, step]));
  return s("svg", {
    class: "graph", style: size, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Steps and what they depend on",
  },
  s("g", { class: "edges", "aria-hidden": "true" }, edges.map(({ from, points }) =>
    s("path", { d: curve(points, across), class: ["succeeded", "partially_succeeded"].includes(byName.get(from).label) ? "done" : "" }))),
  steps.map((step) => [box(step, places.get(step.name), step.name === selected), step.toggle && toggle(step, places.get(step.name))]));
}

/** A sign at the corner of a step that called other runs, which shows or hides them in the picture. */
function toggle({ name, toggle: { href, open } }, [x, y]) {
  return s("a", { key: `${name} toggle`, href, class: "toggle", transform: `translate(${x + WIDTH / 2 - 28} ${y - 12})`,
    "aria-label": `${open ? "Close" : "Open"} the runs of ${name}` },
  s("rect", { width: 24, height: 24, rx: 5 }), s("text", { x: 12, y: 12, "text-anchor": "middle" }, open ? "−" : "+"));
}

function box(step, [x, y], chosen) {
  const name = step.text ?? step.name;
  // The name begins behind the sign; a toggle takes the corner.
  const text = fitted(name, WIDTH - 29 - (step.toggle ? 32 : 8), LETTERS);
  return s("a", {
    key: step.name, href: step.href, class: `node is-${step.label}${chosen ? " chosen" : ""}${step.inner ? " inner" : ""}`,
    transform: `translate(${x - WIDTH / 2} ${y - HEIGHT / 2})`, "aria-label": `${step.name}: ${words(step.label)}`,
  },
  s("title", {}, `${step.name}: ${words(step.label)}${step.note ? `, ${step.note}` : ""}`),
  s("rect", { width: WIDTH, height: HEIGHT, rx: 7 }),
  s("text", { class: "sign", x: 15, y: HEIGHT / 2, "text-anchor": "middle" }, sign(step.label)),
  s("text", { x: 29, y: HEIGHT / 2 }, text));
}

function curve(points, across) {
  let d = `M${points[0].join(" ")}`;
  for (let index = 1; index < points.length; index += 1) {
    const [x1, y1] = points[index - 1];
    const [x2, y2] = points[index];
    const middle = across ? (x1 + x2) / 2 : (y1 + y2) / 2;
    d += across ? `C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` : `C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
  }
  return d;
}

/** The size that the picture has at zoom 1. */
export function graphSize(steps, across) {
  const { width, height } = layoutOf(steps, across);
  return [width, height];
}

function layoutOf(steps, across) {
  const key = JSON.stringify([across, steps.map((step) => [step.name, step.depends])]);
  if (cache.key !== key) cache = { key, layout: layout(steps, across) };
  return cache.layout;
}

function layout(steps, across) {
  const known = new Set(steps.map((step) => step.name));
  const before = new Map(steps.map((step) => [step.name, step.depends.filter((name) => known.has(name))]));
  const depth = layersOf(steps);
  const layers = [];
  const up = new Map();
  const down = new Map();
  const place = (node, layer) => {
    (layers[layer] ??= []).push(node);
    up.set(node, []);
    down.set(node, []);
  };
  for (const name of known) place(name, depth.get(name));
  const routes = [];
  for (const [name, names] of before) {
    for (const from of names) {
      const route = [from];
      for (let layer = depth.get(from) + 1; layer < depth.get(name); layer += 1) {
        const standIn = Symbol(name);
        place(standIn, layer);
        route.push(standIn);
      }
      route.push(name);
      for (let index = 1; index < route.length; index += 1) {
        down.get(route[index - 1]).push(route[index]);
        up.get(route[index]).push(route[index - 1]);
      }
      routes.push({ from, route });
    }
  }
  order(layers, up, down);
  const at = spread(layers, up, down, (node) => (across ? HEIGHT : WIDTH) * (typeof node === "symbol" ? 0.5 : 1) + 18);
  return measured(layers, at, routes, across);
}

function order(layers, up, down) {
  const rank = new Map();
  const number = (layer) => layer.forEach((node, index) => rank.set(node, index));
  layers.forEach(number);
  const mean = (node, near) => {
    const places = near.get(node).map((other) => rank.get(other));
    return places.length ? places.reduce((sum, value) => sum + value, 0) / places.length : rank.get(node);
  };
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const near = sweep % 2 ? down : up;
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const wish = new Map(layer.map((node) => [node, mean(node, near)]));
      layer.sort((a, b) => wish.get(a) - wish.get(b));
      number(layer);
    }
  }
}

function spread(layers, up, down, size) {
  const at = new Map();
  for (const layer of layers) {
    let next = 0;
    for (const node of layer) {
      at.set(node, next + size(node) / 2);
      next += size(node);
    }
    for (const node of layer) at.set(node, at.get(node) - next / 2);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const near = sweep % 2 ? down : up;
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) pull(layer, near, at, size);
  }
  return at;
}

/** Move each node of a layer towards its neighbours' middle, then apart again, keeping the layer's own middle. */
function pull(layer, near, at, size) {
  const wishes = layer.map((node) => {
    const places = near.get(node).map((other) => at.get(other));
    return places.length ? places.reduce((sum, value) => sum + value, 0) / places.length : at.get(node);
  });
  const found = [...wishes];
  for (let index = 1; index < layer.length; index += 1) {
    found[index] = Math.max(found[index], found[index - 1] + (size(layer[index - 1]) + size(layer[index])) / 2);
  }
  const drift = found.reduce((sum, value, index) => sum + value - wishes[index], 0) / layer.length;
  layer.forEach((node, index) => at.set(node, found[index] - drift));
}

function measured(layers, at, routes, across) {
  const values = [...at.values()];
  const reach = (across ? HEIGHT : WIDTH) / 2 + 10;
  const least = Math.min(...values) - reach;
  const size = Math.max(...values) - least + reach;
  const pace = across ? WIDTH + 44 : HEIGHT + 34;
  const thick = across ? WIDTH : HEIGHT;
  const depth = new Map(layers.flatMap((layer, index) => layer.map((node) => [node, index])));
  const point = (node, shift = 0) => {
    const along = depth.get(node) * pace + thick / 2 + 10 + shift;
    return across ? [along, at.get(node) - least] : [at.get(node) - least, along];
  };
  const edges = routes.map(({ from, route }) => ({
    from,
    points: route.flatMap((node, index) => {
      if (typeof node === "symbol") return [point(node, -thick / 2), point(node, thick / 2)];
      return [point(node, index === 0 ? thick / 2 : -thick / 2)];
    }),
  }));
  const length = (layers.length - 1) * pace + thick + 20;
  return {
    places: new Map([...at.keys()].filter((node) => typeof node === "string").map((node) => [node, point(node)])),
    edges, width: across ? length : size, height: across ? size : length,
  };
}
