import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { which } from "../../src/server/running.ts";

const PATH = process.env.PATH;
let folder: string;
let program: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "ullage-running-"));
  await mkdir(join(folder, "first", "tool"), { recursive: true });
  await mkdir(join(folder, "second"));
  program = join(folder, "second", "tool");
  await writeFile(program, "");
  await chmod(program, 0o755);
});

afterEach(() => {
  process.env.PATH = PATH;
});

after(() => rm(folder, { recursive: true }));

test("a program is the first of its name on the PATH, which a folder is not", async () => {
  process.env.PATH = [join(folder, "first"), join(folder, "second")].join(delimiter);
  assert.equal(await which("tool"), program);
});

test("a path that is a folder is no program", async () => {
  assert.equal(await which(folder), undefined);
});

test("a relative folder on the PATH is passed over, as programs are started elsewhere", async () => {
  process.env.PATH = relative(process.cwd(), join(folder, "second"));
  assert.equal(await which("tool"), undefined);
});

test("what is not on the PATH is found in the other folders that are named", async () => {
  process.env.PATH = "";
  assert.equal(await which("tool", [join(folder, "second")]), program);
});
