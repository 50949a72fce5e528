// Who may make an environment, and what stands in the way of it. Nothing is made here: that is environment.test.ts.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ProblemError } from "../../src/failures.ts";
import { makeEnvironment } from "../../src/server/making.ts";

const KIT = { wheel: "ullage.whl", constraints: "constraints.txt", key: "1.0" };
const SOON_MS = 2000;
const WHILE_MS = 100;
const ENDED_PROCESS = 2 ** 22 + 1; // larger than any there is
const STOPPED = new ProblemError({ message: "The making has begun.", remedies: [] });
const BEGUN = { message: STOPPED.message };

let root: string;
let lock: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ullage-making-"));
  lock = join(root, `${KIT.key}.lock`);
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function stop(): Promise<never> {
  throw STOPPED;
}

async function holdLock(holder: number, secondsAgo: number): Promise<void> {
  const then = new Date(Date.now() - secondsAgo * 1000);
  await writeFile(lock, String(holder));
  await utimes(lock, then, then);
}

test("a lock that has long given no sign is taken, though a process has its number", async () => {
  await holdLock(process.pid, 61);
  await assert.rejects(makeEnvironment(root, KIT, stop, { signal: AbortSignal.timeout(SOON_MS) }), BEGUN);
  assert.deepEqual(await readdir(root), []);
});

test("a lock that has lately given a sign is waited for", async () => {
  await holdLock(process.pid, 20);
  const making = makeEnvironment(root, KIT, stop, { signal: AbortSignal.timeout(WHILE_MS) });
  await assert.rejects(making, { name: "TimeoutError" });
  assert.equal(await readFile(lock, "utf8"), String(process.pid));
});

test("a lock gives signs as long as it is held", { timeout: SOON_MS }, async ({ mock }) => {
  mock.timers.enable({ apis: ["setInterval"] });
  const maker = async () => {
    await holdLock(process.pid, 50);
    const { mtimeMs } = await stat(lock);
    mock.timers.tick(10_000);
    while ((await stat(lock)).mtimeMs === mtimeMs);
    return stop();
  };
  await assert.rejects(makeEnvironment(root, KIT, maker, {}), BEGUN);
});

// The administrator can remove everything.
test("a leftover that can't be removed keeps no environment from being made", {
  skip: process.platform === "win32" || process.getuid?.() === 0,
}, async () => {
  const fixed = join(root, `0.9-${ENDED_PROCESS}-0a1b2c`, "fixed");
  await mkdir(fixed, { recursive: true });
  await writeFile(join(fixed, "file"), "");
  await chmod(fixed, 0o500);
  try {
    const maker = async () => ({ uv: join(root, "a-tool-that-is-missing") });
    // It is the tool that fails, later on.
    await assert.rejects(makeEnvironment(root, KIT, maker, {}), /what pip said/);
  } finally {
    await chmod(fixed, 0o700);
  }
});
