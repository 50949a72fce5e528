// What VS Code loads: the rest of the extension comes through a cache of its compiled code, since compiling it anew
// takes more than half of the time that a start costs the extension host.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import type { ExtensionContext } from "vscode";
import { readCompiled, writeCompiled } from "./compiled.ts";

type Extension = typeof import("./extension.ts");

const BUNDLE = join(__dirname, "extension.js");
const SETTLED_MS = 30_000;

let extension: Extension | undefined;

export function activate(context: ExtensionContext) {
  const { mtimeMs, size } = statSync(BUNDLE);
  const cache = join(context.globalStorageUri.fsPath, "compiled");
  // V8 itself compares no more of the source than its length.
  const identity = `${process.versions.v8} ${mtimeMs} ${size}`;
  const cachedData = readCompiled(cache, identity);
  const source = `(function(exports, require, module, __dirname) {${readFileSync(BUNDLE, "utf8")}\n})`;
  const script = new Script(source, { filename: BUNDLE, ...(cachedData && { cachedData }) });
  const loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, require, loaded, __dirname);
  extension = loaded.exports as Extension;
  if (!cachedData || script.cachedDataRejected) {
    const saving = setTimeout(() => writeCompiled(cache, identity, script.createCachedData()), SETTLED_MS);
    context.subscriptions.push({ dispose: () => clearTimeout(saving) });
  }
  return extension.activate(context);
}

export async function deactivate(): Promise<void> {
  await extension?.deactivate();
}
