import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { withLock } from "../../src/server/lock.ts";

const SOON_MS = 2000;
const WHILE_MS = 100;
const ENDED_PROCESS = 2 ** 22 + 1; // larger than any there is
const LOCKS = 100;
const TAKERS = 6;

let root: string;
let lock: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ullage-lock-"));
  lock = join(root, "lock");
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function left(content: string, secondsAgo: number): Promise<void> {
  await writeFile(lock, content);
  await age(secondsAgo);
}

async function age(seconds: number): Promise<void> {
  const then = new Date(Date.now() - seconds * 1000);
  await utimes(lock, then, then);
}

/** Something that takes the file system so many turns. */
async function looks(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await stat(root);
}

test("a lock that has long given no sign is taken, though a process has its number", async () => {
  await left(`${process.pid} 0a`, 61);
  assert.equal(await withLock(lock, AbortSignal.timeout(SOON_MS), async () => "taken"), "taken");
  assert.deepEqual(await readdir(root), []);
});

test("a lock that has lately given a sign is waited for", async () => {
  await left(`${process.pid} 0a`, 20);
  const waiting = withLock(lock, AbortSignal.timeout(WHILE_MS), () => assert.fail("taken"));
  await assert.rejects(waiting, { name: "TimeoutError" });
  assert.equal(await readFile(lock, "utf8"), `${process.pid} 0a`);
});

test("a lock that is not written yet is waited for", async () => {
  await left("", 20);
  const waiting = withLock(lock, AbortSignal.timeout(WHILE_MS), () => assert.fail("taken"));
  await assert.rejects(waiting, { name: "TimeoutError" });
});

test("a lock that was never written is taken once it is old", async () => {
  await left("", 61);
  assert.equal(await withLock(lock, AbortSignal.timeout(SOON_MS), async () => "taken"), "taken");
});

test("a lock gives signs as long as it is held", { timeout: SOON_MS }, async ({ mock }) => {
  mock.timers.enable({ apis: ["setInterval"] });
  await withLock(lock, undefined, async () => {
    await age(50);
    const { mtimeMs } = await stat(lock);
    mock.timers.tick(10_000);
    while ((await stat(lock)).mtimeMs === mtimeMs);
  });
});

test("a lock that another has taken over meanwhile is left to it", async () => {
  await withLock(lock, undefined, () => writeFile(lock, `${process.pid} 0b`));
  assert.equal(await readFile(lock, "utf8"), `${process.pid} 0b`);
});

test("of many that find a lock abandoned one at a time holds it", async () => {
  let mostAtOnce = 0;
  const race = async (number: number) => {
    const file = join(root, `lock ${number}`);
    await writeFile(file, `${ENDED_PROCESS} 0a`);
    let holders = 0;
    const hold = async () => {
      mostAtOnce = Math.max(mostAtOnce, ++holders);
      await looks(20);
      holders--;
    };
    const takers = Array.from({ length: TAKERS }, async (_, taker) => {
      await looks(taker % 4); // a step or two behind one another
      await withLock(file, undefined, hold);
    });
    await Promise.all(takers);
  };
  await Promise.all(Array.from({ length: LOCKS }, (_, number) => race(number)));
  assert.equal(mostAtOnce, 1);
  assert.deepEqual(await readdir(root), []);
});

test("who was killed while removing a lock keeps nobody from it", async () => {
  await left(`${ENDED_PROCESS} 0a`, 0);
  await writeFile(`${lock}.removal`, `${ENDED_PROCESS} 0b`);
  assert.equal(await withLock(lock, AbortSignal.timeout(SOON_MS), async () => "taken"), "taken");
  assert.deepEqual(await readdir(root), []);
});
