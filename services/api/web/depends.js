// On which steps a step depends.

/** Return a function from a step to the names of the steps before it, which a spec may also give by their ids. */
export function dependencies(steps) {
  const names = new Map(steps.flatMap((step) => [[step.name, step.name], ...(step.id ? [[step.id, step.name]] : [])]));
  return (step) => (step.depends ?? []).map((name) => names.get(name) ?? name);
}
