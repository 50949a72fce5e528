// What VS Code loads: the rest of the extension comes through a cache of its compiled code, since compiling it anew
// takes more than half of the time that a start costs the extension host.
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import { crc32 } from "node:zlib";
import type { ExtensionContext } from "vscode";

type Extension = typeof import("./extension.ts");

const BUNDLE = join(__dirname, "extension.js");
const SETTLED_MS = 30_000;

let extension: Extension | undefined;

export function activate(context: ExtensionContext) {
  const { mtimeMs, size } = statSync(BUNDLE);
  const cache = join(context.globalStorageUri.fsPath, "compiled");
  // V8 itself compares no more of the source than its length.
  const identity = `${process.versions.v8} ${mtimeMs} ${size}`;
  const cachedData = readCache(cache, identity);
  const source = `(function(exports, require, module, __dirname) {${readFileSync(BUNDLE, "utf8")}\n})`;
  const script = new Script(source, { filename: BUNDLE, ...(cachedData && { cachedData }) });
  const loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, require, loaded, __dirname);
  extension = loaded.exports as Extension;
  if (!cachedData || script.cachedDataRejected) {
    const saving = setTimeout(() => writeCache(cache, identity, script.createCachedData()), SETTLED_MS);
    context.subscriptions.push({ dispose: () => clearTimeout(saving) });
  }
  return extension.activate(context);
}

export async function deactivate(): Promise<void> {
  await extension?.deactivate();
}

/** The file: a line with whose code it is and the checksum of it, then the code. V8 would run whatever it is given. */
function readCache(file: string, identity: string): Buffer | undefined {
  try {
    const content = readFileSync(file);
    const end = content.indexOf("\n");
    const code = content.subarray(end + 1);
    return content.toString("latin1", 0, end) === `${identity} ${crc32(code)}` ? code : undefined;
  } catch {
    return undefined; // there is none yet
  }
}

function writeCache(file: string, identity: string, code: Buffer): void {
  const fresh = `${file}.${process.pid}`;
  try {
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(fresh, Buffer.concat([Buffer.from(`${identity} ${crc32(code)}\n`, "latin1"), code]));
    renameSync(fresh, file);
  } catch {
    rmSync(fresh, { force: true }); // the next start compiles once more
  }
}
