// The server's private environment on disk: made beside whatever there is, and counting only once it is whole.
//
// In the extension's storage stand folders, each a Python environment, and for each version of the server a file
// `<key>.json` that names the folder to use. That file is written last. Nothing is ever changed in place: the window
// of an older version may be running what stands beside it.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ProblemError } from "../failures.ts";
import { isAlive, withLock } from "./lock.ts";
import { broken, installationProblem } from "./problems.ts";
import type { Command } from "./process.ts";
import type { Maker } from "./python.ts";
import { RunFailure, type Running, run } from "./running.ts";

/** What comes with the extension; `key` names version and content. */
export interface Kit {
  wheel: string;
  constraints: string;
  key: string;
}

/** An environment that is whole. `site` is the folder of its packages. */
export interface Made {
  folder: string;
  python: string;
  site: string;
}

const WHAT = "Ullage's server";
const OLD_AFTER_MS = 7 * 24 * 3600 * 1000;
const IMPORTED_WITHIN_MS = 10_000;
const IMPORTS =
  "import sysconfig, ullage.app.application, ullage.app.parts; print(sysconfig.get_path('purelib'))";

/** Python takes nothing from the folder or the environment variables that it happens to be started in. */
export function python(made: { python: string }, ...args: string[]): Command {
  return { file: made.python, args: ["-I", "-X", "utf8", ...args] };
}

export async function readMade(root: string, key: string): Promise<Made | undefined> {
  try {
    return JSON.parse(await readFile(join(root, `${key}.json`), "utf8"));
  } catch {
    return undefined;
  }
}

async function writeMade(root: string, key: string, made: Made): Promise<void> {
  const file = join(root, `${key}.json`);
  const fresh = `${file}.${randomBytes(4).toString("hex")}`;
  await writeFile(fresh, JSON.stringify(made));
  await rename(fresh, file);
}

export async function discard(root: string, key: string): Promise<void> {
  const made = await readMade(root, key);
  await rm(join(root, `${key}.json`), { force: true });
  if (made) await removeIfPossible(made.folder);
}

/** Make the environment, or wait for the window that is making it. Aborted or failed, nothing of it is left. */
export async function makeEnvironment(
  root: string,
  kit: Kit,
  maker: () => Promise<Maker>,
  running: Running,
): Promise<Made> {
  try {
    await mkdir(root, { recursive: true });
    return await withLock(join(root, `${kit.key}.lock`), running.signal, async () => {
      return (await readMade(root, kit.key)) ?? (await makeNow(root, kit, await maker(), running));
    });
  } catch (error) {
    running.signal?.throwIfAborted();
    if (error instanceof ProblemError) throw error;
    throw new ProblemError(
      installationProblem(WHAT, error instanceof RunFailure ? error.said : String(error)),
    );
  }
}

async function makeNow(root: string, kit: Kit, maker: Maker, running: Running): Promise<Made> {
  await removeLeftovers(root, kit.key);
  const folder = join(root, `${kit.key}-${process.pid}-${randomBytes(3).toString("hex")}`);
  try {
    const made = await fill(folder, kit, maker, running);
    await writeMade(root, kit.key, made);
    return made;
  } catch (error) {
    await removeIfPossible(folder);
    throw error;
  }
}

async function fill(folder: string, kit: Kit, { interpreter, uv }: Maker, running: Running): Promise<Made> {
  const made = { folder, python: pythonIn(folder), site: "" };
  const requirement = ["--constraint", kit.constraints, kit.wheel];
  if (uv) {
    const wanted = interpreter?.path ?? ">=3.11";
    await run({ file: uv, args: ["venv", "--seed", "--no-project", "--python", wanted, folder] }, running);
    const install = ["pip", "install", "--compile-bytecode", "--python", made.python, ...requirement];
    await run({ file: uv, args: install }, running);
  } else {
    await run({ file: interpreter?.path ?? "", args: ["-I", "-m", "venv", folder] }, running);
    await run(python(made, "-m", "pip", "install", ...PIP, ...requirement), running);
  }
  try {
    const said = await run(python(made, "-c", IMPORTS), running);
    return { ...made, site: said.split("\n").at(-1) ?? "" };
  } catch (error) {
    throw error instanceof RunFailure ? new ProblemError(broken()) : error;
  }
}

const PIP = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "2"];

function pythonIn(folder: string): string {
  return process.platform === "win32" ? join(folder, "Scripts", "python.exe") : join(folder, "bin", "python");
}

/**
 * What keeps the server from being imported. Modules that a window may be installing at this moment are left out, and
 * so is what says nothing about files: that Python was killed, came too late or could not be started.
 */
export async function findFault(made: Made, leftOut: string[]): Promise<string | undefined> {
  const isMeant = (entry: string) => !leftOut.some((module) => entry.startsWith(`${module}-`));
  return (await findDamage(made.site, isMeant)) ?? (await pythonDamage(made));
}

async function pythonDamage(made: Made): Promise<string | undefined> {
  try {
    await stat(made.python);
    await run(python(made, "-c", "import ullage"), { withinMs: IMPORTED_WITHIN_MS });
    return undefined;
  } catch (error) {
    if (!(error instanceof RunFailure)) return String(error); // what it is a link to is gone
    return error.code === null ? undefined : `${error}\n${error.said}`;
  }
}

/** The first file of a package that is not as long as it was installed, or that is gone. */
export async function findDamage(
  site: string,
  isMeant = (_entry: string): boolean => true,
): Promise<string | undefined> {
  const entries = await readdir(site).catch(() => undefined);
  if (!entries) return site;
  const packages = entries.filter((entry) => entry.endsWith(".dist-info") && isMeant(entry));
  if (packages.length === 0) return join(site, "*.dist-info");
  const damages = await Promise.all(packages.map((name) => damageOf(site, name)));
  return damages.find((damage) => damage !== undefined);
}

async function damageOf(site: string, name: string): Promise<string | undefined> {
  const record = join(site, name, "RECORD");
  const lines = await readFile(record, "utf8").then(
    (text) => text.split(/\r?\n/),
    () => [`${join(name, "RECORD")},,1`],
  );
  const checks = lines.map(async (line) => {
    const [, path, size] = /^"?(.+?)"?,[^,]*,(\d+)$/.exec(line) ?? [];
    if (path === undefined) return undefined;
    const file = join(site, path);
    const length = await stat(file).then(
      ({ size: bytes }) => bytes,
      () => -1,
    );
    return length === Number(size) ? undefined : file;
  });
  return (await Promise.all(checks)).find((damage) => damage !== undefined);
}

/**
 * Install modules into an environment, one window at a time: what another has unpacked in part looks like what a closed
 * one has left. Where another has installed them meanwhile nothing is done. Failed, nothing unfinished is left.
 */
export async function addModules(
  { folder, site }: Made,
  modules: string[],
  running: Running,
  install: () => Promise<unknown>,
): Promise<void> {
  await withLock(join(folder, "modules.lock"), running.signal, async () => {
    if ((await unfinished(site, modules)).length === 0) return;
    await removeUnfinished(site, modules, running);
    try {
      await install();
    } catch (error) {
      await removeUnfinished(site, modules, running);
      throw error;
    }
  });
}

async function unfinished(site: string, modules: string[]): Promise<string[]> {
  const damages = await Promise.all(
    modules.map((module) => findDamage(site, (entry) => entry.startsWith(`${module}-`))),
  );
  return modules.filter((_, index) => damages[index] !== undefined);
}

/** Packages that were cut off in the middle would pass for installed ones. */
async function removeUnfinished(site: string, modules: string[], { heard }: Running): Promise<void> {
  const cutOff = await unfinished(site, modules);
  const isPart = (name: string) => cutOff.some((module) => name === module || name.startsWith(`${module}-`));
  try {
    const parts = (await readdir(site)).filter(isPart);
    await Promise.all(parts.map((name) => remove(join(site, name))));
  } catch (error) {
    heard?.(`What there was of ${cutOff.join(", ")} could not be removed: ${error}`);
  }
}

async function keys(root: string): Promise<string[]> {
  const entries = await readdir(root).catch(() => []);
  return entries.filter((entry) => entry.endsWith(".json")).map((entry) => entry.slice(0, -".json".length));
}

/** What cut-off attempts and versions of long ago have left. */
async function removeLeftovers(root: string, key: string): Promise<void> {
  for (const other of await keys(root)) {
    const { mtimeMs } = await stat(join(root, `${other}.json`));
    if (other !== key && Date.now() - mtimeMs > OLD_AFTER_MS)
      await discard(root, other).catch(() => undefined);
  }
  const used = await Promise.all((await keys(root)).map((each) => readMade(root, each)));
  for (const entry of await readdir(root, { withFileTypes: true })) {
    const maker = Number(/-(\d+)-[0-9a-f]+$/.exec(entry.name)?.[1]);
    const folder = join(root, entry.name);
    if (!entry.isDirectory() || used.some((made) => made?.folder === folder)) continue;
    if (maker === process.pid || !isAlive(maker)) await removeIfPossible(folder);
  }
}

/** On Windows a virus scanner may still hold what was just written. */
function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

/** What stays behind keeps nothing from being done: nothing names it, and the next environment's making tries again. */
function removeIfPossible(path: string): Promise<void> {
  return remove(path).catch(() => undefined);
}
