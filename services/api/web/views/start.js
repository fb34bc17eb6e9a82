// Starts a run: with parameters and id, now or in its queue.

import { ApiError, path } from "../api.js";
import { ask, check, field } from "../dialog.js";
import { outside, parameterField, parameters } from "../param_form.js";
import { go } from "../router.js";

/** Ask how to start `dag` (of the file `fileName`), start it, and go to the run. */
export function start(fileName, dag) {
  const config = dag.runConfig ?? {};
  const params = parameters(dag);
  const fixed = Boolean(config.disableParamEdit);
  const fields = params.map((each, index) => parameterField(each, { key: `param ${index}`, readonly: fixed }));
  // What a field shows at first: for some defaults that is not the default itself, such as text in a field for numbers.
  const shown = fields.map((each) => each.querySelector("input, select, textarea").value);
  if (!fixed && dag.paramSchema?.additionalProperties !== false) {
    fields.push(field(params.length ? "Further parameters" : "Parameters", {
      name: "further", class: "mono", placeholder: "KEY=value OTHER=\"two words\"",
    }));
  }
  if (!config.disableRunIdEdit) {
    fields.push(field("Run id", { name: "dagRunId", class: "mono", pattern: "[A-Za-z0-9_.\\-]{1,64}",
      placeholder: "generated" }));
  }
  fields.push(check("Queue the run instead of starting it at once", { name: "enqueue" }));
  return ask({
    title: `Start ${dag.name}`,
    text: dag.description,
    fields,
    confirm: "Start",
    act: async (form, once) => {
      const wrong = outside(params, params.map((_, index) => form.get(`param ${index}`)));
      if (wrong.length) throw new ApiError(400, "bad_request", `Outside its limits: ${wrong.join(", ")}`);
      const body = { params: given(params, shown, form) };
      if (form.get("dagRunId")) body.dagRunId = form.get("dagRunId");
      const how = form.get("enqueue") ? "enqueue" : "start";
      return once.send("POST", path`dags/${fileName}/${how}`, body);
    },
    next: (answer) => answer.accepted || go(["runs", dag.name, answer.dagRunId]),
  });
}

/**
 * The parameters as the API takes them. Only what was changed is sent: a default may be an expression,
 * and what comes over HTTP is never evaluated.
 */
function given(params, shown, form) {
  const values = params.map(({ name, value }, index) => {
    // A form sends its lines with CRLF.
    const typed = form.get(`param ${index}`)?.replaceAll("\r\n", "\n") ?? shown[index];
    return { name, value, now: typed === shown[index] ? value : typed };
  });
  const positional = values.filter((each) => /^\d+$/.test(each.name));
  const parts = positional.some((each) => each.now !== each.value) ? positional.map((each) => each.now) : [];
  for (const each of values) {
    if (!/^\d+$/.test(each.name) && each.now !== each.value) parts.push({ [each.name]: each.now });
  }
  const further = (form.get("further") ?? "").trim();
  if (!further) return parts.length ? JSON.stringify(parts) : "";
  // What a person wrote is in the other form, which cannot be mixed with this one.
  return [...parts.map(written), further].join(" ");
}

const quoted = (text) => `"${text.replaceAll('"', '\\"')}"`;
const written = (part) => (typeof part === "string" ? quoted(part) : Object.entries(part).map(([name, value]) => `${name}=${quoted(value)}`)[0]);
