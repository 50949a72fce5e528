// Which Python the server's environment is made with. The order is here; how things are looked up is handed in.
import { ProblemError } from "../failures.ts";
import { noPython, noVenv, pythonMissing, pythonTooOld } from "./problems.ts";
import type { Command } from "./process.ts";

export interface Interpreter {
  path: string;
  version: [major: number, minor: number];
  /** Whether it can make environments: Debian keeps that in a package of its own. */
  hasVenv: boolean;
}

export interface Lookups {
  /** The person's own choice; empty where there is none. */
  setting: string;
  uv(): Promise<string | undefined>;
  fromExtensions(): Promise<string[]>;
  probe(command: Command): Promise<Interpreter | undefined>;
  platform: NodeJS.Platform;
}

/** At least one of both. uv alone finds, or brings, a Python by itself; with one it makes the environment with it. */
export interface Maker {
  interpreter?: Interpreter;
  uv?: string;
}

/** What makes an interpreter say of itself what `Interpreter` holds. */
export const PROBE = [
  "import json, sys",
  "from importlib.util import find_spec",
  "print(json.dumps({'path': sys.executable, 'version': sys.version_info[:2],",
  " 'hasVenv': bool(find_spec('venv') and find_spec('ensurepip'))}))",
].join("\n");

const OLDEST_MINOR = 11;

/** Find the means to make the environment. Rejects with a `ProblemError` where nothing will do. */
export async function findMaker(lookups: Lookups): Promise<Maker> {
  const uv = await lookups.uv();
  const suits = (interpreter: Interpreter) =>
    isNewEnough(interpreter) && (interpreter.hasVenv || uv !== undefined);
  const rejected: Interpreter[] = [];
  for await (const interpreter of inOrder(lookups, uv)) {
    if (interpreter === "uv") return { uv: uv as string };
    if (suits(interpreter)) return { interpreter, ...(uv && { uv }) };
    rejected.push(interpreter);
  }
  const nearest = rejected.find(isNewEnough) ?? rejected[0];
  throw new ProblemError(nearest ? whyNot(nearest) : noPython());
}

async function* inOrder(lookups: Lookups, uv: string | undefined): AsyncGenerator<Interpreter | "uv"> {
  if (lookups.setting) {
    const chosen = await lookups.probe({ file: lookups.setting, args: [] });
    if (!chosen) throw new ProblemError(pythonMissing(lookups.setting));
    yield chosen;
    return;
  }
  const active = await lookups.fromExtensions();
  yield* probed(
    lookups,
    active.map((file) => ({ file, args: [] })),
  );
  if (uv) yield "uv";
  yield* probed(lookups, wellKnown(lookups.platform));
}

async function* probed(lookups: Lookups, commands: Command[]): AsyncGenerator<Interpreter> {
  for (const command of commands) {
    const interpreter = await lookups.probe(command);
    if (interpreter) yield interpreter;
  }
}

function isNewEnough({ version: [major, minor] }: Interpreter): boolean {
  return major > 3 || (major === 3 && minor >= OLDEST_MINOR);
}

function whyNot(interpreter: Interpreter) {
  const version = interpreter.version.join(".");
  return isNewEnough(interpreter)
    ? noVenv(interpreter.path, version)
    : pythonTooOld(interpreter.path, version);
}

function wellKnown(platform: NodeJS.Platform): Command[] {
  const command = (file: string, ...args: string[]) => ({ file, args });
  if (platform === "win32") return [command("py", "-3"), command("python"), command("python3")];
  const onPath = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
  const inPlaces = ["/opt/homebrew/bin/python3", "/usr/local/bin/python3"];
  // Where no developer tools are, the python3 that macOS puts on the PATH opens a window: it is asked last.
  const all = platform === "darwin" ? [...inPlaces, ...onPath] : [...onPath, ...inPlaces, "/usr/bin/python3"];
  return all.map((file) => command(file));
}
