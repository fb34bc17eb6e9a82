// What a JSON Schema says about a place of a document: keys, values, descriptions. Pure.

import { ITEM } from "./place.js";

const COMBINED = ["oneOf", "anyOf", "allOf"];

/** The schema and all its forms: references followed, alternatives side by side. */
function forms(root, schema, seen = new Set()) {
  if (!schema || typeof schema !== "object" || seen.has(schema)) return [];
  seen.add(schema);
  const target = schema.$ref?.startsWith("#/") && schema.$ref.slice(2).split("/").reduce((node, name) => node?.[name], root);
  return [schema, ...(target ? forms(root, target, seen) : []),
    ...COMBINED.flatMap((word) => (schema[word] ?? []).flatMap((each) => forms(root, each, seen)))];
}

/** All forms that the schema allows at `path`. */
export function at(root, path) {
  return path.reduce((found, part) => found.flatMap((schema) => {
    const next = part === ITEM ? schema.items : schema.properties?.[part] ?? schema.additionalProperties;
    return forms(root, next);
  }), forms(root, root));
}

/** The keys that a map at `path` may have: `{ name, forms }`. */
export function keys(root, path) {
  const found = new Map();
  for (const schema of at(root, path)) {
    for (const [name, each] of Object.entries(schema.properties ?? {})) {
      if (!found.has(name)) found.set(name, { name, forms: forms(root, each) });
    }
  }
  return [...found.values()];
}

/** The values that the schema names for `path`. */
export function values(root, path) {
  const all = at(root, path).flatMap((schema) =>
    [...(schema.enum ?? []), ...(schema.examples ?? []), ...("const" in schema ? [schema.const] : []),
      ...(kinds([schema]).includes("boolean") ? [true, false] : [])]);
  return [...new Set(all.map(String))];
}

/** The types that these forms allow, each once. */
export function kinds(found) {
  const named = found.flatMap((schema) => [schema.type ?? []].flat());
  return [...new Set(named.filter((kind) => kind !== "null"))];
}

/** What to say about a place: its description, types, default and values, each a line. */
export function describe(found) {
  const first = (name) => found.find((schema) => schema[name] !== undefined)?.[name];
  const text = first("description")?.replaceAll("`", "");
  const fallback = first("default");
  return [
    text,
    kinds(found).length > 0 && `Type: ${kinds(found).join(" or ")}`,
    fallback !== undefined && fallback !== "" && `Default: ${JSON.stringify(fallback)}`,
    first("enum") && `One of: ${first("enum").join(", ")}`,
  ].filter(Boolean);
}
