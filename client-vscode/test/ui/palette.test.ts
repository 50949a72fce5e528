import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { fill, say } from "../support/filling.ts";
import { Machine } from "../support/machine.ts";
import type { Workbench } from "../support/workbench.ts";

let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start({ window: 16_384 });
  window = await machine.open("project");
});
afterEach(keepPictures);
after(() => machine?.stop());

async function offered(): Promise<string[]> {
  return (await window.offered("Ullage: ")).filter((title) => title.startsWith("Ullage: "));
}

test("an empty conversation is offered nothing that needs messages, snapshots or changes", async () => {
  const titles = await offered();
  for (const title of ["Show Status", "Set Size…", "New Context…", "Choose Model…", "Restart Server"]) {
    assert.ok(titles.includes(`Ullage: ${title}`), title);
  }
  for (const title of ["Compress…", "Clear Window", "Restore Snapshot…", "Undo", "Show What Is Wrong"]) {
    assert.ok(!titles.includes(`Ullage: ${title}`), title);
  }
});

test("a snapshot is taken with words of one's own and restored from a choice with date, tokens and trigger", async () => {
  const hand = await window.hand;
  await say(hand, "What is a tun?", "A large cask.");
  await fill(hand, 0.2);
  await window.run("Ullage: Take Snapshot…");
  await window.type("before the flood");
  await window.page.keyboard.press("Enter");
  await window.notification("Kept: ").waitFor();

  await fill(hand, 0.6);
  await window.statusItem(/9\.\dk\/16k/).waitFor();
  await window.clearNotifications();
  await window.screenshots("restore", async () => {
    await window.run("Ullage: Restore Snapshot…");
    await window.rows();
  });
  const [row] = await window.rows();
  assert.match(row ?? "", /before the flood.*3,27\d tokens · by hand · 4 messages · stub-model/);
  await window.pressInRow("before the flood", "Show its messages");
  await window.editorLine(/What.is.a.tun\?/).waitFor();
  await window.choose("before the flood");
  await window.notification("Restored: ").waitFor();
  await window.statusItem(/3\.2k\/16k/).waitFor();
});

test("undo takes a restored snapshot back", async () => {
  await window.press(window.notification("Restored: "), "Undo");
  await window.statusItem(/9\.\dk\/16k/).waitFor();
});

test("compressing says first what it would come to, and shows that it is being done", async () => {
  await window.clearNotifications();
  await window.run("Ullage: Compress…");
  assert.match((await window.rows()).join("\n"), /Truncate, [\d,]+ → [\d,]+ tokens \(\d+ %\)/);
  await window.screenshot("compress");
  await window.choose("Truncate");
  await window.notification(/Compressed/).waitFor();
});

test("the sizes that fit are offered with what limits them", async () => {
  await window.clearNotifications();
  await window.run("Ullage: Set Size…");
  assert.match((await window.rows()).join("\n"), /16,384 tokens, now/);
  await window.screenshot("size");
  await window.dismiss();
});

test("the palette in both themes", async () => {
  await window.screenshots("palette", async () => {
    await window.showPalette("Ullage: ");
  });
});
