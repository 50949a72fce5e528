// A file that one process at a time holds, among all windows.
//
// Its content, `<pid> <token>`, is its holder's alone. Whoever removes it, the holder or one that finds it abandoned, does
// so under a second lock of the same kind and looks again there: what another has taken meanwhile is never removed.
import { randomBytes } from "node:crypto";
import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const REFRESHED_MS = 10_000;
const ABANDONED_MS = 60_000;
const ASKED_AGAIN_MS = 300;
const HOLDER = /^(\d+) [0-9a-f]+$/;

/** Do something as the only holder of the lock, and wait for that as long as it takes, or until aborted. */
export async function withLock<T>(
  file: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const own = ownContent();
  while (!(await take(file, own))) {
    signal?.throwIfAborted();
    if (!(await breakAbandoned(file))) await sleep(ASKED_AGAIN_MS);
  }
  const isOwn = async () => (await contentOf(file)) === own;
  const held = setInterval(() => void refresh(file, isOwn), REFRESHED_MS);
  try {
    return await work();
  } finally {
    clearInterval(held);
    while (!(await removeWhere(file, isOwn))) await sleep(ASKED_AGAIN_MS);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function ownContent(): string {
  return `${process.pid} ${randomBytes(8).toString("hex")}`;
}

async function take(file: string, content: string): Promise<boolean> {
  try {
    await writeFile(file, content, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function contentOf(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}

async function refresh(file: string, isOwn: () => Promise<boolean>): Promise<void> {
  const now = new Date();
  if (await isOwn()) await utimes(file, now, now).catch(() => undefined);
}

/** Whether the lock was abandoned, and whoever wants it may try at once. */
async function breakAbandoned(file: string): Promise<boolean> {
  const abandoned = () => isAbandoned(file);
  return (await abandoned()) && removeWhere(file, abandoned);
}

/** Whether it could be looked at, and is gone where it was the one that is meant; false while another is at it. */
async function removeWhere(file: string, isMeant: () => Promise<boolean>): Promise<boolean> {
  const removal = `${file}.removal`;
  if (!(await take(removal, ownContent()))) {
    await breakAbandoned(removal); // of a process that was killed at this very moment
    return false;
  }
  try {
    if (await isMeant()) await rm(file, { force: true });
    return true;
  } finally {
    await rm(removal, { force: true });
  }
}

/**
 * Its holder is gone, or has long given no sign: after a restart of the machine its number may be another's. A file that
 * is not written yet names nobody, and only its age counts. It is read first, so that the age is never an earlier one's.
 */
async function isAbandoned(file: string): Promise<boolean> {
  try {
    const holder = HOLDER.exec(await readFile(file, "utf8"))?.[1];
    const { mtimeMs } = await stat(file);
    return (holder !== undefined && !isAlive(Number(holder))) || Date.now() - mtimeMs > ABANDONED_MS;
  } catch {
    return false; // released meanwhile
  }
}
