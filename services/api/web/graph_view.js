// The box with the graph of a workflow, and its zoom: small ones as links, large ones on a canvas.

import { BigGraph } from "./big_graph.js";
import { layersOf } from "./block_layout.js";
import { h } from "./dom.js";
import { graph, graphSize } from "./graph.js";
import { counted } from "./parts.js";

const MOST_LINKS = 250;
const LONGEST_PX = 8000;
/** How many layers all lines together may cross: the small picture needs time for each of them. */
const MOST_CROSSED = 5000;
const NARROW = matchMedia("(max-width: 760px)");
const STEP = 1.25;
const [SMALLEST, LARGEST] = [0.1, 2];

export class GraphView {
  /** `changed` is called when the graph must be drawn again. */
  constructor(changed) {
    Object.assign(this, { changed, zoom: 0, big: null });
  }

  /** Draw `steps` of `{name, depends, label, href, note}`, from the top down on a narrow screen. */
  draw(steps, selected) {
    const across = !NARROW.matches;
    const large = steps.length > MOST_LINKS || crossed(steps) > MOST_CROSSED || Math.max(...graphSize(steps, across)) > LONGEST_PX;
    if (large) {
      this.big ??= new BigGraph();
      this.big.show(steps, selected);
    }
    const fit = () => (large ? this.big.fit() : this.resize(this.fitting(steps, across)));
    const step = (way) => (large ? this.big.zoom(way) : this.resize((this.zoom || 1) * STEP ** way));
    return h("div", { class: "graph-box", key: "graph" },
      h("div", { class: "actions zoom", role: "group", "aria-label": "Zoom of the graph" },
        h("button", { type: "button", "aria-label": "Zoom out", onclick: () => step(-1) }, "−"),
        h("button", { type: "button", onclick: fit }, "Fit"),
        h("button", { type: "button", "aria-label": "Zoom in", onclick: () => step(1) }, "+"),
        h("span", { class: "faint" }, counted(steps.length, "step"))),
      large
        ? h("div", { class: "canvas large", key: "large", mount: (root) => this.big.mount(root) })
        : h("div", { class: "canvas", key: "small" }, graph(steps, { across, selected, zoom: this.zoom })));
  }

  /** The zoom at which the whole graph is in sight. */
  fitting(steps, across) {
    const [width, height] = graphSize(steps, across);
    const room = document.querySelector(".graph-box")?.clientWidth ?? innerWidth;
    return Math.min((room - 34) / width, (innerHeight * 0.46 - 34) / height);
  }

  resize(zoom) {
    this.zoom = Math.max(SMALLEST, Math.min(LARGEST, zoom));
    this.changed();
  }
}

/** How many layers the lines between steps cross: one for each line between neighbouring layers, more for longer lines. */
function crossed(steps) {
  const depth = layersOf(steps);
  let count = 0;
  for (const { name, depends } of steps) {
    for (const from of depends) if (depth.has(from)) count += Math.max(1, depth.get(name) - depth.get(from));
  }
  return count;
}
