// Bundles what browsers load: the modules of the web pages into one, and the editor, with the licences of everything in it
// beside it.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const web = join(here, "..", "services", "api", "web");
const target = process.argv[2] ?? join(web, "built");
const how = { bundle: true, format: "esm", minify: true, target: "es2022", metafile: true, legalComments: "none", logLevel: "warning" };

/** The name of the bundle of the present modules. `services/api/ui/page_script.py` must compute the same. */
function pageName() {
  const modules = ["", "views/"].flatMap((folder) => readdirSync(join(web, folder)).filter((name) => name.endsWith(".js")).map((name) => folder + name));
  const digest = createHash("sha256");
  for (const name of modules.sort()) digest.update(`${name}\0`).update(readFileSync(join(web, name)));
  return `page.${digest.digest("hex").slice(0, 12)}.js`;
}

mkdirSync(target, { recursive: true });
const page = pageName();
for (const name of readdirSync(target)) if (/^page\..*\.js$/.test(name) && name !== page) rmSync(join(target, name));
await build({ ...how, absWorkingDir: web, entryPoints: ["main.js"], outfile: join(target, page),
  // The editor is a file beside the bundle, loaded when it is needed.
  plugins: [{ name: "editor", setup: ({ onResolve }) => onResolve({ filter: /\/built\/editor\.js$/ }, () => ({ path: "./editor.js", external: true })) }] });

const { metafile } = await build({ ...how, absWorkingDir: here, entryPoints: ["src/index.js"], outfile: join(target, "editor.js") });

const packages = [...new Set(Object.keys(metafile.inputs).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []))].sort();
const texts = packages.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no file with its licence`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(target, "editor.licenses.txt"), texts.join("\n----------\n\n"));
