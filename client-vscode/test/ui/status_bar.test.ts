import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { fill } from "../support/filling.ts";
import { Machine } from "../support/machine.ts";
import type { Workbench } from "../support/workbench.ts";

const ITEM = "ullage.status";
let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start({
    window: 32_768,
    settings: { "ullage.context.compression.enabled": false },
  });
  window = await machine.open("project");
});
afterEach(keepPictures);
after(() => machine?.stop());

const LEVELS = [
  { percent: 39, text: /^◔ 12\.5k\/32k · 2\/8 GB$/, kind: "plain" },
  { percent: 83, text: /^◕ 26\.6k\/32k · 2\/8 GB$/, kind: "warning" },
  { percent: 96, text: /^● 30\.7k\/32k · 2\/8 GB$/, kind: "error" },
] as const;

for (const { percent, text, kind } of LEVELS) {
  test(`at ${percent} % the item is ${kind} and says how full window and memory are`, async () => {
    await fill(await window.hand, percent / 100);
    await window.statusItem(text).waitFor();
    assert.equal(await window.statusKind(ITEM), kind);
    await window.screenshots(`status-bar-${percent}`);
  });
}

test("the hover shows the whole status with commands that can be clicked", async () => {
  const hover = await window.tooltip(ITEM);
  const text = (await hover.textContent()) ?? "";
  for (const part of ["Ullage · main", "31,45", "/ 32,768 (96 %)", "stub-model on llamacpp", "2/8 GB"]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
  assert.deepEqual(await hover.locator("a").allInnerTexts(), [
    "Compress",
    "Snapshot",
    "Size",
    "Switch",
    "Chat",
  ]);
  await window.screenshot("status-hover");
  await hover.getByText("Size", { exact: true }).click();
  await window.row("32,768 tokens").first().waitFor();
  await window.dismiss();
});
