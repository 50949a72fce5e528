import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { Workbench } from "../support/workbench.ts";

let machine: Machine;
let window: Workbench;

function servers(): string[] {
  return machine.editor.processes
    .map(({ command }) => command)
    .filter((command) => /ullage.* serve/.test(command));
}

before(async () => {
  machine = await Machine.start({ asksForTrust: true });
  const path = machine.editor.folder("stranger", {
    ".vscode/settings.json": JSON.stringify({ "ullage.extension.server": "/bin/false" }),
  });
  window = await Workbench.open(machine.editor, { path });
});
afterEach(keepPictures);
after(() => machine?.stop());

test("restricted mode starts nothing and says why", async () => {
  await window.statusItem(/Restricted Mode/).waitFor();
  await window.statusItem(/Ullage: off/).waitFor();
  const hover = await window.tooltip("ullage.status");
  assert.match((await hover.textContent()) ?? "", /starts nothing until you trust this workspace/);
  assert.deepEqual(servers(), []);
  assert.ok(!(await window.offered("Ullage: ")).includes("Ullage: Restart Server"));
  await window.screenshot("restricted");
});

test("granting trust starts the person's own server, whatever the workspace names", async () => {
  await window.trustFolder();
  await window.statusItem(/1\/8k/).waitFor();
  assert.equal(servers().length, 1);
});
