// The picture of a large workflow on a canvas: the page stays fast with thousands of steps. Zoom and drag to move.

import { blockLayout, CELL } from "./block_layout.js";
import { h } from "./dom.js";
import { drag } from "./drag.js";
import { fitted } from "./fit.js";
import { mapPoint, paintMap } from "./minimap.js";
import { sign, words } from "./status.js";

const MOST_EDGES = 20_000;
const CLOSEST = 2;
const READABLE = 0.45;
const STEP = 1.25;
const LETTERS = 12.5;
const PAPER = matchMedia("print");

export class BigGraph {
  constructor() {
    this.canvas = h("canvas", { class: "big-graph", role: "img", tabindex: "0" });
    Object.assign(this, { steps: [], scale: 0, left: 0, top: 0 });
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.drag(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.resizing = new ResizeObserver(() => this.resized());
  }

  /** Put the canvas into `root`, and return what ends it. */
  mount(root) {
    root.append(this.canvas);
    this.resizing.observe(root);
    // Paper is light, whatever the theme is.
    const repaint = () => this.draw();
    PAPER.addEventListener("change", repaint);
    return () => {
      this.resizing.disconnect();
      PAPER.removeEventListener("change", repaint);
    };
  }

  /** Show these steps: `{name, depends, label, href}`. */
  show(steps, selected) {
    const key = steps.map((step) => `${step.name}<${step.depends.join()}`).join("\n");
    Object.assign(this, { steps, selected });
    if (key !== this.key_) {
      this.key_ = key;
      this.layout = blockLayout(steps);
      this.scale = 0;
    }
    const counts = new Map();
    for (const { label } of steps) counts.set(label, (counts.get(label) ?? 0) + 1);
    const told = [...counts].map(([label, count]) => `${count} ${words(label)}`).join(", ");
    this.canvas.setAttribute("aria-label", `Graph of ${steps.length} steps: ${told}. The table has them all.`);
    this.later();
  }

  get size() {
    return [this.canvas.clientWidth, this.canvas.clientHeight];
  }

  resized() {
    const [width, height] = this.size;
    this.canvas.width = width * devicePixelRatio;
    this.canvas.height = height * devicePixelRatio;
    // Not in the next frame: with its size the canvas has lost its picture.
    this.draw();
  }

  /** Show the whole. */
  fit() {
    const [width, height] = this.size;
    this.scale = Math.min(1, (width - 16) / this.layout.width, (height - 16) / this.layout.height);
    this.left = (width - this.layout.width * this.scale) / 2;
    this.top = (height - this.layout.height * this.scale) / 2;
    this.later();
  }

  /** Zoom in (1) or out (-1) about a point of the canvas, by default its middle. */
  zoom(way, [x, y] = this.size.map((length) => length / 2)) {
    const [width, height] = this.size;
    const least = Math.min(0.9 * Math.min(width / this.layout.width, height / this.layout.height), 1);
    const scale = Math.max(least, Math.min(CLOSEST, this.scale * STEP ** way));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.later();
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(-Math.sign(event.deltaY), [event.offsetX, event.offsetY]);
  }

  key(event) {
    // The browser's own: back, and the zoom of the whole page.
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { "+": 1, "=": 1, "-": -1 }[event.key];
    const [x, y] = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key] ?? [0, 0];
    if (way) this.zoom(way);
    else if (event.key === "0") this.fit();
    else if (x || y) Object.assign(this, { left: this.left + x, top: this.top + y });
    else return;
    event.preventDefault();
    this.later();
  }

  drag(event) {
    if (this.byMap(event)) return;
    const start = [event.clientX - this.left, event.clientY - this.top];
    drag(event, {
      moved: (now) => {
        [this.left, this.top] = [now.clientX - start[0], now.clientY - start[1]];
        this.later();
      },
      clicked: () => {
        const step = this.at(event);
        if (step?.href) location.hash = step.href;
      },
    });
  }

  /** Bring what was clicked on the map into the middle, and follow the pointer. Returns whether it was on the map. */
  byMap(event) {
    const middle = (now) => {
      const box = this.canvas.getBoundingClientRect();
      const point = mapPoint(this, [now.clientX - box.left, now.clientY - box.top]);
      if (!point) return false;
      [this.left, this.top] = this.size.map((length, axis) => length / 2 - point[axis] * this.scale);
      this.later();
      return true;
    };
    if (!middle(event)) return false;
    drag(event, { moved: middle });
    return true;
  }

  hover(event) {
    const step = this.at(event);
    this.canvas.title = step ? `${step.name}: ${words(step.label)}` : "";
    this.canvas.style.cursor = step ? "pointer" : "grab";
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left - this.left) / this.scale, (event.clientY - box.top - this.top) / this.scale];
    return this.steps.find(({ name }) => {
      const [left, top] = this.layout.places.get(name);
      return x >= left && x < left + CELL.width - 8 && y >= top && y < top + CELL.height - 6;
    });
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (this.layout && this.canvas.clientWidth && this.canvas.isConnected) this.paint();
  }

  paint() {
    if (!this.scale) this.fit();
    const pen = this.canvas.getContext("2d");
    const { scale } = this;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, ...this.size);
    pen.translate(this.left, this.top);
    pen.scale(scale, scale);
    const tones = new Tones(this.canvas);
    this.edges(pen, tones);
    pen.font = `${LETTERS}px ${getComputedStyle(document.body).fontFamily}`;
    pen.textBaseline = "middle";
    for (const step of this.steps) this.box(pen, step, tones);
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    this.canvas.dataset.map = String(paintMap(pen, this, tones));
    tones.end();
    this.canvas.dataset.painted = String(this.steps.length);
  }

  edges(pen, tones) {
    const { places } = this.layout;
    pen.strokeStyle = tones.line;
    pen.lineWidth = 1 / this.scale;
    pen.globalAlpha = 0.6;
    pen.beginPath();
    let count = 0;
    for (const step of this.steps) {
      const [x, y] = places.get(step.name);
      for (const name of step.depends) {
        const from = places.get(name);
        if (!from || (count += 1) > MOST_EDGES) continue;
        pen.moveTo(from[0] + CELL.width - 8, from[1] + CELL.height / 2 - 3);
        pen.lineTo(x, y + CELL.height / 2 - 3);
      }
    }
    pen.stroke();
    pen.globalAlpha = 1;
  }

  box(pen, step, tones) {
    const [x, y] = this.layout.places.get(step.name);
    const [width, height] = [CELL.width - 8, CELL.height - 6];
    const tone = tones.of(step.label);
    pen.fillStyle = tones.sheet;
    pen.fillRect(x, y, width, height);
    pen.globalAlpha = this.scale < READABLE ? 0.75 : 0.14;
    pen.fillStyle = tone;
    pen.fillRect(x, y, width, height);
    pen.globalAlpha = 1;
    if (step.name === this.selected) {
      pen.strokeStyle = tones.ink;
      pen.lineWidth = Math.max(2, 2 / this.scale);
      pen.strokeRect(x, y, width, height);
    }
    if (this.scale < READABLE) return;
    pen.fillText(sign(step.label), x + 6, y + height / 2);
    pen.fillStyle = tones.ink;
    pen.fillText(fitted(step.name, width - 22 - 4, LETTERS), x + 22, y + height / 2);
  }
}

/** The style sheet's colours, as a canvas takes them: those of the present theme. */
class Tones {
  constructor(canvas) {
    this.probe = h("span", { hidden: true });
    canvas.after(this.probe);
    this.known = new Map();
    this.line = this.read("", "var(--line)");
    this.sheet = this.read("", "var(--sheet)");
    this.ink = this.read("", "var(--ink)");
  }

  of(label) {
    if (!this.known.has(label)) this.known.set(label, this.read(`is-${label}`, "var(--tone, var(--idle))"));
    return this.known.get(label);
  }

  end() {
    this.probe.remove();
  }

  read(name, colour) {
    this.probe.className = name;
    this.probe.style.color = colour;
    return getComputedStyle(this.probe).color;
  }
}
