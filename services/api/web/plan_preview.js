// What a text that is not saved yet would do: its steps with their dependencies, and when it would run next.

import { dependencies } from "./depends.js";
import { h, patch } from "./dom.js";
import { GraphView } from "./graph_view.js";
import { ago, clock } from "./time.js";

export class Preview {
  constructor() {
    this.open = false;
    this.root = h("section", { class: "card preview", "aria-label": "Preview", hidden: true });
    this.picture = new GraphView(() => this.draw());
    this.dag = null;
    this.fires = [];
  }

  /** Take over what the server has read from the text. */
  show(dag, fires) {
    Object.assign(this, { dag, fires });
    this.draw();
  }

  draw() {
    this.root.hidden = !this.open;
    if (!this.open || !this.dag) return;
    patch(this.root, h("h2", {}, "Preview"), this.plan(), this.schedule());
  }

  plan() {
    const { steps = [] } = this.dag;
    if (!steps.length) return h("p", { class: "faint" }, "There is no step that can be read.");
    const depends = dependencies(steps);
    return this.picture.draw(steps.map((step) => ({ name: step.name, label: "not_started", depends: depends(step) })));
  }

  schedule() {
    if (!this.fires.length) return h("p", { class: "faint" }, "No schedule starts it.");
    return h("p", {}, "Next scheduled times: ", this.fires.map((at, index) => [index > 0 && ", ", h("span", { key: at }, clock(at), " (", ago(at), ")")]));
  }
}
