import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { Workbench } from "../support/workbench.ts";

let machine: Machine;
before(async () => {
  machine = await Machine.start();
});
afterEach(keepPictures);
after(() => machine?.stop());

test("the first start of all shows four steps, the next one does not", async () => {
  const path = machine.editor.folder("project");
  const window = await Workbench.open(machine.editor, { path });
  const steps = window.page.locator(".getting-started-step .step-title");
  await steps.first().waitFor();
  assert.deepEqual(await steps.allInnerTexts(), [
    "Find a model server",
    "See what fits",
    "Hold a first conversation",
    "When the window fills",
  ]);
  await window.screenshots("walkthrough");
  const another = machine.editor.folder("another"); // in the same one VS Code itself would open again what was open
  const next = await Workbench.open(machine.editor, { path: another, beside: window });
  await next.statusItem(/1\/8k/).waitFor();
  assert.deepEqual(await next.tabs(), []);
});
