// Bundles the editor into one module of the web pages, with the licences of everything in it beside it.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "..", "services", "api", "web", "built");

const { metafile } = await build({
  absWorkingDir: here, entryPoints: ["src/index.js"], outfile: join(target, "editor.js"), bundle: true, format: "esm", minify: true,
  target: "es2022", metafile: true, legalComments: "none", logLevel: "warning",
});

const packages = [...new Set(Object.keys(metafile.inputs).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []))].sort();
const texts = packages.map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no file with its licence`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(target, "editor.licenses.txt"), texts.join("\n----------\n\n"));
