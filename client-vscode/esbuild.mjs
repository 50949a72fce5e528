// Bundles the extension, with the licences of what is in it, and prints its size: `dist/extension.js`, and beside it
// `dist/main.js`, which loads it.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const readable = process.argv.includes("--readable");

/** Features of the language client for what our server never answers: a third of its code, and of its start. */
const NEVER_USED =
  /^\.\/(callHierarchy|codeAction|codeLens|colorProvider|completion|declaration|definition|diagnostic|documentHighlight|documentLink|documentSymbol|foldingRange|formatting|hover|implementation|inlayHint|inlineCompletion|inlineValue|linkedEditingRange|notebook|reference|rename|selectionRange|semanticTokens|signatureHelp|textDocumentContent|typeDefinition|typeHierarchy|workspaceSymbol)$/;

/** In their place: a feature that registers nothing and tells the server of nothing. */
const ABSENT = `
class Absent {
  getState() { return { kind: "static" }; }
  fillClientCapabilities() {}
  initialize() {}
  clear() {}
}
module.exports = new Proxy({}, { get: () => Absent });`;

/** One view of the editor's interface for all modules: esbuild would copy its hundreds of names for each of them. */
const sharedInterface = {
  name: "shared-interface",
  setup(bundle) {
    bundle.onResolve({ filter: /^vscode$/ }, ({ kind, namespace }) =>
      kind === "require-call" || namespace === "shared"
        ? { path: "vscode", external: true }
        : { path: "vscode", namespace: "shared" },
    );
    bundle.onLoad({ filter: /./, namespace: "shared" }, () => {
      const types = readFileSync("node_modules/@types/vscode/index.d.ts", "utf8");
      const names = types.matchAll(
        /^\texport (?:abstract )?(?:class|enum|namespace|const|function|let) (\w+)/gm,
      );
      const exported = [...new Set([...names].map(([, name]) => name))];
      return { contents: `export const { ${exported.join(", ")} } = require("vscode");`, loader: "js" };
    });
  },
};

const withoutUnused = {
  name: "without-unused-features",
  setup(bundle) {
    bundle.onResolve({ filter: NEVER_USED }, ({ importer, path }) =>
      /vscode-languageclient.lib.common.(client|api)\.js$/.test(importer)
        ? { path, namespace: "absent" }
        : undefined,
    );
    bundle.onLoad({ filter: /./, namespace: "absent" }, () => ({ contents: ABSENT, loader: "js" }));
  },
};

/** The language client compares VS Code's version, as the manifest has it done already, with a library of 25 kB. */
const withoutVersions = {
  name: "without-versions",
  setup(bundle) {
    bundle.onResolve({ filter: /^semver\// }, ({ path }) => ({ path, namespace: "fits" }));
    bundle.onLoad({ filter: /./, namespace: "fits" }, () => ({ contents: "module.exports = () => true;" }));
  },
};

/** TypeScript's glue, as it was compiled into the language client, makes an accessor for every name of every module;
 * that takes longer than all else that loading it does. Plain copies will do: nothing is re-exported before it is there. */
const cheaperGlue = {
  name: "cheaper-glue",
  setup(bundle) {
    bundle.onLoad({ filter: /node_modules.vscode-[^/\\]*.lib.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, "utf8")
        .replace(/__importStar\(require\("([\w:]+)"\)\)/g, 'require("$1")')
        .replaceAll("(Object.create ? (function(o, m, k, k2)", "(false ? (function(o, m, k, k2)");
      return { contents, loader: "js" };
    });
  },
};

function licences(inputs) {
  const folders = Object.keys(inputs).map((file) => /^node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return [...new Set(folders)]
    .filter((folder) => folder !== undefined)
    .sort()
    .map(licenceOf);
}

function licenceOf(folder) {
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) throw new Error(`${folder} has no licence`);
  const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}

const { metafile } = await build({
  entryPoints: ["src/extension.ts", "src/main.ts"],
  outdir: "dist",
  bundle: true,
  minify: !readable,
  sourcemap: readable ? "inline" : false,
  platform: "node",
  target: "node22",
  format: "cjs",
  plugins: [sharedInterface, withoutUnused, withoutVersions, cheaperGlue],
  metafile: true,
  logLevel: "warning",
});
writeFileSync("dist/third-party-licences.txt", licences(metafile.inputs).join(`\n${"-".repeat(80)}\n\n`));
const files = ["dist/main.js", "dist/extension.js"];
console.log(files.map((file) => `${file}: ${(statSync(file).size / 1000).toFixed(0)} kB`).join(", "));
