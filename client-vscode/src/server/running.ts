// Programs that do one thing and end: pip, uv, an interpreter that is asked what it is.
import { access, constants, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { Child, type Command } from "./process.ts";

export interface Running {
  signal?: AbortSignal;
  heard?: (line: string) => void;
  env?: NodeJS.ProcessEnv;
  withinMs?: number;
}

/**
 * Rejected with where a program did not end well; `said` are the last lines of what it wrote, `code` is null where it
 * could not be started or was killed.
 */
export class RunFailure extends Error {
  readonly said: string;
  readonly code: number | null;

  constructor(command: Command, how: string, said: string, code: number | null) {
    super(`${command.file} ${command.args.slice(0, 4).join(" ")}: ${how}`);
    this.said = said;
    this.code = code;
  }
}

/** Run a program to its end and return its last lines. Aborted, it ends with all that it started. */
export async function run(command: Command, running: Running = {}): Promise<string> {
  const { signal, heard = () => undefined, env = process.env, withinMs } = running;
  signal?.throwIfAborted();
  const child = await Child.start(command, heard, { env, withDescendants: true }).catch((error) => {
    throw new RunFailure(command, String(error.code), String(error), null);
  });
  child.stdin.end();
  child.hearOutput(heard);
  let isKilled = false; // Windows gives what was killed a code all the same
  const kill = () => {
    isKilled = true;
    child.kill();
  };
  signal?.addEventListener("abort", kill);
  const timer = withinMs === undefined ? undefined : setTimeout(kill, withinMs);
  const { code, signal: by } = await child.ended;
  clearTimeout(timer);
  signal?.removeEventListener("abort", kill);
  signal?.throwIfAborted();
  const said = child.lastLines.join("\n");
  if (code !== 0) throw new RunFailure(command, by ?? `code ${code}`, said, isKilled ? null : code);
  return said;
}

/**
 * The file that a program's name means: itself where it is a path, else the first on the PATH or in `alsoIn`. A relative
 * folder on the PATH would mean another one where the program is started.
 */
export async function which(name: string, alsoIn: string[] = []): Promise<string | undefined> {
  const path = name.replace(/^~(?=[/\\])/, homedir());
  if (isAbsolute(path)) return (await isExecutable(path)) ? path : undefined;
  const endings = process.platform === "win32" ? [".exe", ""] : [""]; // scripts need a shell
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...alsoIn].filter(isAbsolute);
  for (const folder of folders) {
    for (const ending of endings) {
      const file = join(folder, name + ending);
      if (await isExecutable(file)) return file;
    }
  }
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  const mayBeStarted = access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
  // The Microsoft Store's python.exe can be started, though not looked at.
  const isFolder = stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return (await mayBeStarted) && !(await isFolder);
}
