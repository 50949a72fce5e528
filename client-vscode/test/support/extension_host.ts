/** Mocha in the extension host of a real VS Code: bundles the tests, has them run there, and hears how they went. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { format } from "node:util";
import { build } from "esbuild";
import { RESULT, type Result, SAID } from "../host/result.ts";
import type { CodeServer } from "./code_server.ts";
import { CLIENT } from "./product.ts";
import { Workbench } from "./workbench.ts";

const LIMIT_MS = 300_000;
const HOST = join(CLIENT, "test/host");

export interface Outcome {
  /** 0 where all passed. */
  code: number;
  results: Result[];
}

/** One file with mocha and every `*.test.ts` of the folder; its path. */
export async function bundleHostTests(): Promise<string> {
  const files = readdirSync(HOST)
    .filter((name) => name.endsWith(".test.ts"))
    .sort();
  const loading = files.map((name) => `require(${JSON.stringify(`./${name}`)});`).join(" ");
  const outfile = join(CLIENT, "test/build/host.cjs");
  await build({
    stdin: {
      contents: `globalThis.loadTests = () => { ${loading} };\nexport { run } from "./mocha.ts";`,
      resolveDir: HOST,
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node22",
    external: ["vscode"],
    logOverride: { "require-resolve-not-external": "silent" }, // mocha's files for parallel runs, which these are not
    sourcemap: "inline",
    logLevel: "warning",
  });
  return outfile;
}

/** Runs them in a window on `path`. The server must have been started with `enable-smoke-test-driver`. */
export async function runInExtensionHost(server: CodeServer, path: string): Promise<Outcome> {
  const remote = (file: string) => `vscode-remote://${server.authority}${file}`;
  const window = await Workbench.blank(server);
  const results: Result[] = [];
  const ended = new Promise<number>((resolve, reject) => {
    setTimeout(() => reject(new Error(`The tests took more than ${LIMIT_MS / 1000} s.`)), LIMIT_MS).unref();
    const expose = async () => {
      await window.page.exposeFunction("codeAutomationLog", (_kind: string, args: unknown[]) =>
        heard(args, results),
      );
      await window.page.exposeFunction("codeAutomationExit", resolve);
    };
    expose()
      .then(async () =>
        window.go(path, [
          ["extensionDevelopmentPath", remote(CLIENT)],
          ["extensionTestsPath", remote(await bundleHostTests())],
        ]),
      )
      .catch(reject);
  });
  const code = await ended;
  await window.close();
  return { code, results };
}

function heard(args: unknown[], results: Result[]): void {
  const line = format(...args);
  const [told, said] = [RESULT, SAID].map((prefix) => line.split(prefix)[1]);
  if (told !== undefined) results.push(JSON.parse(told) as Result);
  else if (said !== undefined) console.log(said);
}
