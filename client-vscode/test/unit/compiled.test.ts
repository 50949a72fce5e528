import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readCompiled, writeCompiled } from "../../src/compiled.ts";

const CODE = Buffer.from([1, 10, 2, 255, 0, 10]);
let folder: string;
let file: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ullage-compiled-"));
  file = join(folder, "storage", "compiled");
});

after(() => rmSync(folder, { recursive: true }));

test("code comes back as it was kept, and nothing else is left beside it", () => {
  writeCompiled(file, "14.1 of today", CODE);
  assert.deepEqual(readCompiled(file, "14.1 of today"), CODE);
  assert.deepEqual(readdirSync(join(folder, "storage")), ["compiled"]);
});

test("code of another version is not used", () => {
  writeCompiled(file, "14.1 of today", CODE);
  assert.equal(readCompiled(file, "14.2 of today"), undefined);
});

test("code of which a byte has changed is not used", () => {
  writeCompiled(file, "14.1", CODE);
  const content = readFileSync(file);
  content[content.length - 2] = 7;
  writeFileSync(file, content);
  assert.equal(readCompiled(file, "14.1"), undefined);
});

test("code that is longer than it was is not used", () => {
  writeCompiled(file, "14.1", CODE);
  appendFileSync(file, "x");
  assert.equal(readCompiled(file, "14.1"), undefined);
});

test("where nothing is kept, and nothing can be, nothing is said", () => {
  assert.equal(readCompiled(join(folder, "nowhere"), "14.1"), undefined);
  writeCompiled(join(file, "below a file"), "14.1", CODE);
});
