// Bundles the extension into one file, `dist/extension.js`, and prints its size.
import { statSync } from "node:fs";
import { build } from "esbuild";

const outfile = "dist/extension.js";
await build({
  entryPoints: ["src/extension.ts"],
  outfile,
  bundle: true,
  minify: !process.argv.includes("--readable"),
  sourcemap: process.argv.includes("--readable") ? "inline" : false,
  platform: "node",
  target: "node22",
  format: "cjs",
  external: ["vscode"],
  logLevel: "warning",
});
console.log(`${outfile}: ${(statSync(outfile).size / 1000).toFixed(0)} kB`);
