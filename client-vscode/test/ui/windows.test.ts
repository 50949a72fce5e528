import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { fill } from "../support/filling.ts";
import { Machine } from "../support/machine.ts";

const HALF_FULL = /4k\/8k/;
const EMPTY = /1\/8k/;
let machine: Machine;

before(async () => {
  machine = await Machine.start({ window: 8192 });
});
afterEach(keepPictures);
after(() => machine?.stop());

test("a folder that becomes one of several keeps its conversation, and the status follows the editor", async () => {
  const window = await machine.open("first");
  await fill(await window.hand, 0.5);
  await window.statusItem(HALF_FULL).waitFor();
  const [first, second, third] = ["first", "second", "third"].map((name) =>
    machine.editor.folder(name, { [`${name}.md`]: `# ${name}\n` }),
  ) as [string, string, string];
  await window.go(machine.editor.workspaceFile("several", [first, second]));
  await window.statusItem(HALF_FULL).waitFor();
  await window.openFile("second.md");
  await window.statusItem(EMPTY).waitFor();
  await window.openFile("first.md");
  await window.statusItem(HALF_FULL).waitFor();
  await window.addFolder(third);
  await window.openFile("third.md");
  await window.statusItem(EMPTY).waitFor();
  await window.close();
});

test("two windows on one folder show the same conversation, and one of them writes it", async () => {
  const first = await machine.open("shared");
  await fill(await first.hand, 0.5);
  await first.statusItem(HALF_FULL).waitFor();
  const second = await machine.open("shared", { beside: first });
  await second.statusItem(HALF_FULL).waitFor();
  await second.run("Ullage: Clear Window");
  const warning = second.notification("is writing this context");
  await warning.waitFor();
  assert.deepEqual(await second.buttons(warning), ["Take Over"]);
  await second.screenshot("two-windows");
  await second.press(warning, "Take Over");
  await second.notification("Cleared: ").waitFor();
  await second.statusItem(EMPTY).waitFor();
});
