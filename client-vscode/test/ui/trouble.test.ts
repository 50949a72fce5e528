import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { SERVER } from "../support/product.ts";
import { until } from "../support/waiting.ts";
import { Workbench } from "../support/workbench.ts";

const READY = /\d\/8k/;
let machine: Machine;
let window: Workbench;

before(async () => {
  machine = await Machine.start();
  window = await machine.open("project");
});
afterEach(keepPictures);
after(() => machine?.stop());

test("a setting of the wrong type is told by its name, and all else goes on", async () => {
  machine.changeSettings({ "ullage.context.targetSize": "many" });
  await window.notification(/context\.targetSize/).waitFor();
  await window.screenshot("wrong-setting");
  machine.changeSettings({});
  await window.clearNotifications();
  await window.statusItem(READY).waitFor();
});

test("a server that is not there is told with what helps, and the next one is started by itself", async () => {
  machine.changeSettings({ "ullage.extension.server": "/nowhere/ullage" });
  const notification = window.notification("/nowhere/ullage");
  await notification.waitFor();
  assert.notDeepEqual(await window.buttons(notification), []);
  await until("a red item", async () => (await window.statusKind("ullage.status")) === "error");
  await window.screenshot("no-server");
  machine.changeSettings({ "ullage.extension.server": SERVER });
  await window.statusItem(READY).waitFor();
});

test("a model server that goes away is told in the chat with a way on, and the question is kept", async () => {
  await window.clearNotifications();
  await window.chat.start();
  await machine.model.stop();
  const answer = await window.chat.ask("@ullage Is anybody there?");
  assert.match(answer, /stub-model|llamacpp|127\.0\.0\.1/);
  await window.screenshot("no-model");
  const hand = await window.hand;
  const { context } = await hand.request<{ context: { id: string } }>("context/status", {});
  const kept = await hand.request<{ messages: { content: string }[] }>("context/messages", {
    contextId: context.id,
  });
  assert.equal(kept.messages.at(-1)?.content, "Is anybody there?");
});

test("without a folder the item says so and leads to one", async () => {
  const empty = await Workbench.open(machine.editor);
  await empty.statusItem(/Ullage: no folder/).waitFor();
  const hover = await empty.tooltip("ullage.status");
  assert.match((await hover.textContent()) ?? "", /Open one, and its conversation is kept with it/);
});
