// Places for the steps of a large workflow: each layer is a block of cells, and blocks follow each other like words.
//
// Layers by longest path, as in the small picture. A wide layer fills columns of a bounded height, a long chain wraps
// to the next line, so that the whole has about the shape of a screen, whatever the form of the workflow.

export const CELL = { width: 168, height: 30 };
const GAP = 40;
const ROWS = 24;
const ASPECT = 2.2;

/** The layer of each step, by name; steps of a circle, which only an unsaved text may have, count as begun. */
export function layersOf(steps) {
  const known = new Set(steps.map((step) => step.name));
  const left = new Map(steps.map((step) => [step.name, step.depends.filter((name) => known.has(name)).length]));
  const after = new Map(steps.map((step) => [step.name, []]));
  for (const step of steps) for (const name of step.depends) after.get(name)?.push(step.name);
  const depth = new Map(steps.map((step) => [step.name, 0]));
  const ready = steps.filter((step) => !left.get(step.name)).map((step) => step.name);
  // Without recursion: a chain may have thousands of steps.
  for (let index = 0; index < ready.length; index += 1) {
    for (const next of after.get(ready[index])) {
      depth.set(next, Math.max(depth.get(next), depth.get(ready[index]) + 1));
      left.set(next, left.get(next) - 1);
      if (left.get(next) === 0) ready.push(next);
    }
  }
  return depth;
}

/** Places of all steps (`[x, y]` of the left upper corner, by name) and the size of the whole. */
export function blockLayout(steps) {
  const layers = [];
  for (const [name, layer] of layersOf(steps)) (layers[layer] ??= []).push(name);
  const blocks = layers.filter(Boolean).map((names) => {
    const columns = Math.ceil(names.length / ROWS);
    const rows = Math.ceil(names.length / columns);
    return { names, rows, width: columns * CELL.width + GAP, height: rows * CELL.height };
  });
  const area = blocks.reduce((sum, block) => sum + block.width * (block.height + GAP), 0);
  const widest = Math.max(Math.sqrt(area * ASPECT), ...blocks.map((block) => block.width));
  const places = new Map();
  let [x, y, tall, width] = [0, 0, 0, 0];
  for (const block of blocks) {
    if (x > 0 && x + block.width > widest) [x, y, tall] = [0, y + tall + GAP, 0];
    block.names.forEach((name, index) => places.set(name, [
      x + Math.floor(index / block.rows) * CELL.width, y + (index % block.rows) * CELL.height]));
    x += block.width;
    tall = Math.max(tall, block.height);
    width = Math.max(width, x - GAP);
  }
  return { places, width, height: y + tall };
}
