import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { fill } from "../support/filling.ts";
import { Machine } from "../support/machine.ts";
import type { Workbench } from "../support/workbench.ts";

let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start({ window: 8192 });
  window = await machine.open("project");
  await window.showView("Ullage");
});
afterEach(keepPictures);
after(() => machine?.stop());

test("a context's row shows how full its window is", async () => {
  await fill(await window.hand, 0.5);
  await window.treeRow(/▰▰▰▱▱▱ 50 % · 4k\/8k/).waitFor();
  assert.equal((await window.treeRows()).length, 1);
});

test("a snapshot taken from the row appears under it", async () => {
  await window.pressInTree("main", "Take Snapshot");
  await window.type("half full");
  await window.page.keyboard.press("Enter");
  await window.notification("Kept: ").waitFor();
  await window.expand("main");
  await window.treeRow(/half full.*4,09\d tokens · by hand/).waitFor();
});

test("a context made from the view's title becomes the current one", async () => {
  await window.run("Ullage: New Context…");
  await window.type("review");
  await window.page.keyboard.press("Enter");
  await window.treeRow(/review/).waitFor();
  await window.statusItem(/○ 1\/8k/).waitFor();
});

test("the row's menu offers what can be done with a context", async () => {
  const titles = await window.contextMenu(/main/);
  for (const title of ["Show Status", "Compress…", "Rename Context…", "Erase Context…", "Export…"]) {
    assert.ok(titles.includes(title), title);
  }
  await window.page.keyboard.press("Escape");
});

test("the menu of an empty context's row offers nothing that needs messages", async () => {
  const titles = await window.contextMenu(/review/);
  assert.ok(titles.includes("Show Status"));
  for (const title of ["Take Snapshot…", "Compress…", "Clear Window", "Pin or Unpin Messages…"]) {
    assert.ok(!titles.includes(title), title);
  }
  await window.page.keyboard.press("Escape");
  await window.clearNotifications();
  await window.screenshots("tree");
});

test("switching from the row goes on in that context", async () => {
  await window.pressInTree("main", "Switch Context");
  await window.statusItem(/◑ 4k\/8k|◔ 4k\/8k/).waitFor();
});
