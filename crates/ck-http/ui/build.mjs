// Builds the dashboard into ../src/ui/assets, or with --check says whether what is there is what would be built.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const assets = join(here, "..", "src", "ui", "assets");

async function bundle(entry, outfile) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    outfile,
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: ["es2022", "chrome111", "firefox113", "safari16.4"],
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  return outputFiles[0].text;
}

export async function built() {
  return {
    "index.html": await readFile(join(here, "src", "index.html"), "utf8"),
    "icon.svg": await readFile(join(here, "src", "icon.svg"), "utf8"),
    "app.js": await bundle("src/main.tsx", "app.js"),
    "app.css": await bundle("src/style/main.css", "app.css"),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  let stale = 0;
  for (const [name, text] of Object.entries(await built())) {
    const path = join(assets, name);
    if (check) {
      const committed = await readFile(path, "utf8").catch(() => "");
      if (committed !== text) {
        console.error(`src/ui/assets/${name} is not what its sources give; run \`npm run build\` in crates/ck-http/ui`);
        stale += 1;
      }
    } else {
      await writeFile(path, text);
      console.log(`${name}: ${text.length} characters`);
    }
  }
  process.exitCode = stale > 0 ? 1 : 0;
}
