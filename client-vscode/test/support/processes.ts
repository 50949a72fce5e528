/**
 * Processes that a test starts, and all that come of them. An extension starts its server in a process group of its
 * own, so groups don't tell who belongs to whom: a mark in the environment does, which every child inherits. Whatever
 * way a test ends, with success, a failure, Ctrl-C, nothing with its mark is left.
 */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./waiting.ts";

const MARK = "ULLAGE_TEST_MARK";
const running = new Set<Family>();
const folders = new Set<string>();

process.on("exit", () => {
  for (const family of running) family.kill();
  for (const folder of folders) removeFolder(folder);
});
for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

/** An empty folder that is gone when this process is, if not before. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.delete(folder);
}

export interface FoundProcess {
  pid: number;
  parent: number;
  command: string;
}

/** A program with everything that it starts. */
export class Family {
  readonly child: ChildProcess;
  readonly #mark: string;

  private constructor(child: ChildProcess, mark: string) {
    this.child = child;
    this.#mark = mark;
  }

  static start(command: string, args: readonly string[], options: SpawnOptions = {}): Family {
    const mark = randomUUID();
    const env = { ...(options.env ?? process.env), [MARK]: mark };
    const family = new Family(spawn(command, args, { ...options, env, detached: true }), mark);
    running.add(family);
    return family;
  }

  get members(): FoundProcess[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readProcess(Number(name), `${MARK}=${this.#mark}`))
      .filter((found) => found !== undefined);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  kill(): void {
    if (this.child.pid !== undefined) signal(-this.child.pid, "SIGKILL");
    for (const { pid } of this.members) signal(pid, "SIGKILL");
    running.delete(this);
  }

  /** Asks the program to end. Fails where something that it had started outlives it by more than `patienceMs`. */
  async end(patienceMs = 8000): Promise<void> {
    if (!this.hasEnded && this.child.pid !== undefined) signal(-this.child.pid, "SIGTERM");
    const gone = () => this.hasEnded && this.members.length === 0;
    try {
      await until("every process gone", gone, patienceMs);
    } catch {
      const left = this.members.map(({ pid, command }) => `${pid} ${command.slice(0, 160)}`);
      throw new Error(`These went on after their program was ended:\n${left.join("\n")}`);
    } finally {
      this.kill();
    }
  }
}

/** Runs to the end; throws with what the program said where it fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<string> {
  const family = Family.start(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [family.child.stdout, family.child.stderr]) {
    stream?.on("data", (data) => {
      said += data;
    });
  }
  const [code] = await once(family.child, "close");
  family.kill();
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${said}`);
  return said;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function readProcess(pid: number, marked: string): FoundProcess | undefined {
  try {
    if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(marked)) return undefined;
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z") return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return { pid, parent: Number(parent), command };
  } catch {
    return undefined; // it ended meanwhile, or belongs to somebody else
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}
