import assert from "node:assert/strict";
import { test } from "node:test";
import * as figures from "../../src/figures.ts";
import { statusOf } from "./status.ts";

test("a window's tokens are shown in the unit that its size is named in", () => {
  assert.equal(figures.shortWindow(13_107, 32_768), "12.8k/32k");
  assert.equal(figures.shortWindow(12_800, 32_000), "12.8k/32k");
  assert.equal(figures.shortWindow(721, 1024), "721/1k");
  assert.equal(figures.shortWindow(1_572_864, 2_097_152), "1.5M/2M");
});

test("a full window never shows more than it holds", () => {
  for (const limit of [1024, 8192, 32_768, 131_072, 32_000]) {
    const [tokens, most] = figures.shortWindow(limit, limit).split("/");
    assert.equal(tokens, most);
  }
});

test("without a known window the tokens stand alone", () => {
  assert.equal(figures.shortWindow(1500, null), "1.5k tokens");
});

test("the circle fills with the window", () => {
  const shown = [null, 0, 0.39, 0.6, 0.83, 0.96, 1.3].map((fraction) => figures.glyph(fraction));
  assert.deepEqual(shown, ["○", "○", "◔", "◑", "◕", "●", "●"]);
});

test("the bar has a cell for each begun share, and none beyond its ends", () => {
  assert.equal(figures.bar(0.39), "▰▰▰▱▱▱");
  assert.equal(figures.bar(0.0001), "▱▱▱▱▱▱");
  assert.equal(figures.bar(1.7), "▰▰▰▰▰▰");
  assert.equal(figures.bar(null), "▱▱▱▱▱▱");
});

test("memory is shown in the unit of its total", () => {
  const memory = (used: number | null, total: number | null) =>
    figures.shortMemory(statusOf({ memory: { used, total } }).memory);
  assert.equal(memory(6.2 * 2 ** 30, 8 * 2 ** 30), "6.2/8 GB");
  assert.equal(memory(100 * 2 ** 20, 512 * 2 ** 20), "100/512 MB");
  assert.equal(memory(null, 8 * 2 ** 30), undefined);
  assert.equal(memory(1, null), undefined);
});

test("the status bar's text leaves out what is not known", () => {
  assert.equal(figures.shortStatus(statusOf({})), "◔ 12.8k/32k · 6.2/8 GB");
  assert.equal(figures.shortStatus(statusOf({ memory: null })), "◔ 12.8k/32k");
});

test("the status is spoken in words", () => {
  const spoken = "Ullage, 13,107 of 32,768 tokens, 40 per cent full, memory 6.2 of 8 GB";
  assert.equal(figures.spokenStatus(statusOf({})), spoken);
});

test("sizes are read in the forms that people type", () => {
  const read = ["8192", "8,192", "8k", "16K", "1m", " 12 k", "1.5k"].map(figures.tokensOf);
  assert.deepEqual(read, [8192, 8192, 8192, 16_384, 1_048_576, 12_288, 1536]);
});

test("what is no size of a window is refused", () => {
  for (const text of ["", "0", "k", "-1", "1.5", "8,19", "2147483648", "3000000k", "8k tokens please"]) {
    assert.equal(figures.tokensOf(text), undefined, text);
  }
});

test("bytes are shown in the largest unit that leaves a figure of at least 1", () => {
  const shown = [null, 0, 1023, 1024, 1.5 * 2 ** 20, 2 ** 40, 2 ** 51].map(figures.size);
  assert.deepEqual(shown, ["unknown", "0 bytes", "1,023 bytes", "1.0 KB", "1.5 MB", "1.0 TB", "2048.0 TB"]);
});

test("foreign text stays text in Markdown, on one line", () => {
  assert.equal(
    figures.escaped("a\n[b](command:x) `c` $(bug)"),
    "a \\[b\\]\\(command:x\\) \\`c\\` \\$\\(bug\\)",
  );
});

test("a line is cut where it is too long", () => {
  assert.equal(figures.oneLine("a  b\n\tc", 10), "a b c");
  assert.equal(figures.oneLine("abcdefghijkl", 5), "abcd…");
});
