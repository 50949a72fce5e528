/** The test's hand inside an extension host; see `hand/extension.cjs`. */

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as vscode from "vscode";
import { run } from "./processes.ts";
import { until } from "./waiting.ts";

const SOURCE = fileURLToPath(new URL("./hand/", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../", import.meta.url));

/** The extension as a file to install; made where its source is newer. */
export async function handVsix(): Promise<string> {
  const made = join(CLIENT, "test/build/hand.vsix");
  const newest = Math.max(...readdirSync(SOURCE).map((name) => statSync(join(SOURCE, name)).mtimeMs));
  if (existsSync(made) && statSync(made).mtimeMs > newest) return made;
  mkdirSync(join(CLIENT, "test/build"), { recursive: true });
  const vsce = join(CLIENT, "node_modules/@vscode/vsce/vsce");
  await run(
    process.execPath,
    [vsce, "package", "--no-dependencies", "--skip-license", "--allow-missing-repository", "--out", made],
    {
      cwd: SOURCE,
    },
  );
  return made;
}

export class Hand {
  readonly pid: number;
  readonly #port: number;

  private constructor(pid: number, port: number) {
    this.pid = pid;
    this.#port = port;
  }

  /** Those of the extension hosts that run. */
  static present(folder: string): Set<string> {
    return new Set(existsSync(folder) ? readdirSync(folder) : []);
  }

  /** That of the next window. */
  static async next(folder: string, before: ReadonlySet<string>): Promise<Hand> {
    let found: string | undefined;
    await until("an extension host", () => {
      found = [...Hand.present(folder)].find((each) => !before.has(each));
      return found !== undefined && readFileSync(join(folder, found), "utf8") !== "";
    });
    return new Hand(Number(found), Number(readFileSync(join(folder, found ?? ""), "utf8")));
  }

  /** Runs the function there. It sees `vscode` and the arguments, and nothing around it here. */
  async run<Args extends unknown[], Result>(
    work: (api: typeof vscode, ...args: Args) => Result | Promise<Result>,
    ...args: Args
  ): Promise<Awaited<Result>> {
    const body = JSON.stringify({ code: work.toString(), args });
    const answer = await fetch(`http://127.0.0.1:${this.#port}`, { method: "POST", body });
    const { result, error } = (await answer.json()) as { result: Awaited<Result>; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  async command<Result>(command: string, ...args: unknown[]): Promise<Result> {
    return this.run(
      async (api, name, given) => (await api.commands.executeCommand(name, ...given)) as Result,
      command,
      args,
    );
  }

  /** A request to the language server over the extension's own connection. */
  async request<Result>(method: string, params: unknown): Promise<Result> {
    return this.run(
      async (api, name, given) => {
        const { connection } = api.extensions.getExtension("ullage.ullage")?.exports ?? {};
        return (await connection.request(name, given)) as Result;
      },
      method,
      params,
    );
  }
}
