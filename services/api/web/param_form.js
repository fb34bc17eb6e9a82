// Fields for the parameters of a DAG: of the kind that its JSON Schema says, so that the browser refuses what would fail.

import { choice, field } from "./dialog.js";

const FORMATS = { date: "date", time: "time", email: "email", uri: "url" };
/** A default that only the worker can evaluate. */
const EXPRESSION = /[$`]/;

/** The parameters to ask for: `{ name, value, schema, required }`; first those of the schema, in its order. */
export function parameters(dag) {
  const declared = new Map((dag.params ?? []).map((text) => text.split(/=(.*)/s).slice(0, 2)));
  const { properties = {}, required = [] } = dag.paramSchema ?? {};
  const names = new Set([...Object.keys(properties), ...declared.keys()]);
  return [...names].map((name) => {
    const schema = typeof properties[name] === "object" ? properties[name] : {};
    const value = declared.get(name) ?? ("default" in schema ? text(schema.default) : "");
    return { name, value, schema, required: required.includes(name) };
  });
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The type that the schema allows, if it is only one. */
const typeOf = (schema) => [schema.type ?? []].flat().filter((each) => each !== "null").join();

/** The field of one parameter. Where its default is an expression, only the worker can tell what fits. */
export function parameterField({ name, value, schema, required }, { key, readonly }) {
  const label = schema.title ? `${schema.title} (${name})` : /^\d+$/.test(name) ? `Parameter ${name}` : name;
  const props = { name: key, class: "mono", value, readonly, required, hint: hint(schema) };
  const type = typeOf(schema);
  const options = schema.enum?.map(text) ?? (type === "boolean" ? ["true", "false"] : null);
  // A default that is not in the list comes first: an expression, or nothing, which must be changed if required.
  if (options && !readonly) return choice(label, props, options.includes(value) ? options : [value, ...options]);
  // A field of one line would drop the ends of lines, and send the rest as if a person had typed it.
  if (/[\r\n]/.test(value)) return field(label, { ...props, control: "textarea", rows: Math.min(8, value.split("\n").length) });
  if (readonly || EXPRESSION.test(value)) return field(label, props);
  if (type === "integer" || type === "number") return field(label, { ...props, type: "number", ...numberRules(schema) });
  return field(label, { ...props, type: FORMATS[schema.format] ?? "text", ...textRules(schema) });
}

function numberRules({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }) {
  const whole = [type].flat().includes("integer");
  return {
    min: whole && typeof exclusiveMinimum === "number" ? Math.floor(exclusiveMinimum) + 1 : minimum ?? exclusiveMinimum,
    max: whole && typeof exclusiveMaximum === "number" ? Math.ceil(exclusiveMaximum) - 1 : maximum ?? exclusiveMaximum,
    step: multipleOf ?? (whole ? 1 : "any"),
  };
}

function textRules({ minLength, maxLength, pattern }) {
  // A schema's pattern may match anywhere, a field's must match all of it.
  return { minlength: minLength, maxlength: maxLength, pattern: usable(pattern) ? `(?:.|\\n)*(?:${pattern})(?:.|\\n)*` : null };
}

/** Browsers read patterns by stricter rules than other programs. */
function usable(pattern) {
  if (!pattern) return false;
  try {
    return Boolean(new RegExp(pattern, "v"));
  } catch {
    return false;
  }
}

function hint({ description, minimum, maximum, exclusiveMinimum, exclusiveMaximum, pattern }) {
  const limits = [
    minimum !== undefined && `at least ${minimum}`, exclusiveMinimum !== undefined && `more than ${exclusiveMinimum}`,
    maximum !== undefined && `at most ${maximum}`, exclusiveMaximum !== undefined && `less than ${exclusiveMaximum}`,
    pattern && `matches ${pattern}`,
  ].filter(Boolean).join(", ");
  return [description, limits].filter(Boolean).join(" · ");
}

/** The names of the parameters that are beyond a limit for which a field of a form has no rule. */
export const outside = (list, values) => list.filter(({ schema }, index) => values[index] && !EXPRESSION.test(values[index])
  && (Number(values[index]) <= schema.exclusiveMinimum || Number(values[index]) >= schema.exclusiveMaximum)).map(({ name }) => name);
