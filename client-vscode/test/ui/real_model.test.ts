import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { until } from "../support/waiting.ts";
import type { Workbench } from "../support/workbench.ts";

let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start({
    settings: {
      "ullage.providers.default": "embedded",
      "ullage.providers.embedded.threads": 1,
      // So small a model may ramble on until its window is full: this one leaves it some hundreds of tokens beside the prompt.
      "ullage.context.targetSize": 1024,
      "ullage.context.minSize": 1024,
    },
  });
  machine.editor.folder("project", { "cellar.txt": "The tun in the cellar holds 954 litres.\n" });
  window = await machine.open("project");
  await window.enableAgents();
  await window.chat.start();
  await until("a model", async () => /SmolLM2/i.test((await window.chat.model.textContent()) ?? ""));
});
afterEach(keepPictures);
after(() => machine?.stop());

for (const agent of ["Ullage", "Ullage Edit"]) {
  test(`the real model answers in the agent ${agent}, and VS Code shows how full its window is`, async () => {
    await window.chat.startNew();
    await window.chat.pickAgent(agent);
    assert.notEqual(await window.chat.ask("Say hello in one sentence."), "");
    await window.clearNotifications();
    await window.screenshots(`chat-real-${agent.replace(" ", "-").toLowerCase()}`, async () => {
      await window.chat.usage.hover();
      await window.page
        .getByText(/ \/ 1K tokens/)
        .first()
        .waitFor();
    });
  });
}
