/** A real VS Code, served to browsers by code-server, in folders of its own. */

import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { handVsix } from "./hand.ts";
import { Family, type FoundProcess, freePort, removeFolder, run, temporaryFolder } from "./processes.ts";

const STARTING_MS = 60_000;

export interface CodeServerOptions {
  /** Installed before the start. */
  vsix?: string | undefined;
  /** Whether tests get a hand inside the extension hosts. */
  hand?: boolean;
  /** The person's settings; those with machine scope count too, as they would on a desktop. */
  settings?: Readonly<Record<string, unknown>>;
  env?: Readonly<Record<string, string | undefined>>;
  /** Whether VS Code asks before it trusts a folder; false: all are trusted. */
  asksForTrust?: boolean;
  /** Further options of VS Code's own server. */
  vscodeOptions?: readonly string[];
}

export class CodeServer {
  readonly root = temporaryFolder("ullage-editor");
  readonly home = join(this.root, "home");
  readonly storage = join(this.root, "storage");
  readonly log = join(this.root, "code-server.log");
  /** Where hands make themselves known. */
  readonly hands = join(this.root, "hands");
  #family: Family | undefined;
  #port = 0;
  #options: CodeServerOptions;

  private constructor(options: CodeServerOptions) {
    this.#options = options;
  }

  static async start(options: CodeServerOptions = {}): Promise<CodeServer> {
    const server = new CodeServer(options);
    try {
      for (const folder of [server.home, server.#temporary]) mkdirSync(folder);
      server.changeSettings(options.settings ?? {});
      const extensions = [options.vsix, options.hand ? await handVsix() : undefined];
      await server.install(...extensions.filter((each) => each !== undefined));
      await server.#start();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get #temporary(): string {
    return join(this.root, "tmp");
  }

  get hasHands(): boolean {
    return this.#options.hand === true;
  }

  get authority(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** All processes that belong to it: extension hosts, language servers, engines. */
  get processes(): FoundProcess[] {
    return this.#family?.members ?? [];
  }

  /** Written as a person's own hand would; open windows follow. */
  changeSettings(settings: Readonly<Record<string, unknown>>): void {
    const text = JSON.stringify({ ...QUIET, ...settings }, null, 2);
    for (const part of ["User", "Machine"]) {
      const file = join(this.root, "data", part, "settings.json");
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }

  async install(...vsix: string[]): Promise<void> {
    if (vsix.length === 0) return;
    const args = [...vsix.flatMap((each) => ["--install-extension", each]), "--force"];
    await run(process.execPath, [...this.#command(), ...args], { env: this.#environment() });
  }

  /** A workspace folder with these files in it; the path of the folder. */
  folder(name: string, files: Readonly<Record<string, string>> = {}): string {
    const folder = join(this.root, "work", name);
    mkdirSync(folder, { recursive: true });
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return folder;
  }

  /** A `.code-workspace` file of several folders. */
  workspaceFile(name: string, folders: readonly string[]): string {
    const file = join(this.folder("."), `${name}.code-workspace`);
    writeFileSync(file, JSON.stringify({ folders: folders.map((path) => ({ path })) }));
    return file;
  }

  /** Also after a failed start; twice does no harm. */
  async stop(): Promise<void> {
    try {
      await this.#family?.end();
    } finally {
      this.#family = undefined;
      removeFolder(this.root);
    }
  }

  async #start(): Promise<void> {
    this.#port = await freePort();
    const log = openSync(this.log, "a");
    const args = ["--auth", "none", "--bind-addr", this.authority, "--reconnection-grace-time", "5"];
    const trust = this.#options.asksForTrust ? [] : ["--disable-workspace-trust"];
    const passedOn = (this.#options.vscodeOptions ?? []).flatMap((option) => ["--vscode-option", option]);
    this.#family = Family.start(process.execPath, [...this.#command(), ...args, ...trust, ...passedOn], {
      env: this.#environment(),
      stdio: ["ignore", log, log],
    });
    await this.#answering();
  }

  async #answering(): Promise<void> {
    const deadline = Date.now() + STARTING_MS;
    while (Date.now() < deadline && this.#family?.hasEnded === false) {
      const answer = await fetch(`${this.url}/healthz`).catch(() => undefined);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`code-server did not start:\n${readFileSync(this.log, "utf8")}`);
  }

  #command(): string[] {
    const place = process.env.ULLAGE_CODE_SERVER;
    if (place === undefined)
      throw new Error("Run the tests through scripts/with-test-tools.sh, which gets code-server.");
    const data = [
      "--user-data-dir",
      join(this.root, "data"),
      "--extensions-dir",
      join(this.root, "extensions"),
    ];
    const quiet = ["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"];
    return [join(place, "out/node/entry.js"), ...data, ...quiet];
  }

  /** Nothing of the person's own: neither home nor settings, nor the port that code-server would read. */
  #environment(): Record<string, string | undefined> {
    const { PORT: _, NODE_OPTIONS: __, ...inherited } = process.env;
    const kept = Object.entries(inherited).filter(
      ([name]) => !/^(XDG_|VSCODE_|ULLAGE_|OLLM_|OLLAMA_|NODE_TEST)/.test(name),
    );
    return {
      ...Object.fromEntries(kept),
      HOME: this.home,
      TMPDIR: this.#temporary,
      ULLAGE_TEST_HAND: this.hands,
      ULLAGE_STORAGE: this.storage,
      ...this.#options.env,
    };
  }
}

/** What would come between a test and what it looks at. */
const QUIET = {
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.enableExperiments": false,
  "workbench.reduceMotion": "on",
  "window.commandCenter": false,
  "telemetry.telemetryLevel": "off",
  "extensions.ignoreRecommendations": true,
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "git.enabled": false,
  "update.showReleaseNotes": false,
  "security.workspace.trust.banner": "never",
};
