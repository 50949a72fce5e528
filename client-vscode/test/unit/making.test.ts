// What stands in the way of making an environment. Nothing is made here: that is environment.test.ts.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { makeEnvironment } from "../../src/server/making.ts";

const KIT = { wheel: "ullage.whl", constraints: "constraints.txt", key: "1.0" };
const ENDED_PROCESS = 2 ** 22 + 1; // larger than any there is

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ullage-making-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

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
