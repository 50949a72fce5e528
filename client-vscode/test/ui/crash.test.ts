import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { until } from "../support/waiting.ts";
import type { Workbench } from "../support/workbench.ts";

let machine: Machine;
let window: Workbench;

const killed = new Set<number>();

/** The language server that was not killed yet, as soon as there is one. */
async function kill(): Promise<void> {
  let server: number | undefined;
  await until("a server", () => {
    const all = machine.editor.processes.filter(({ command }) => /ullage serve/.test(command));
    server = all.map(({ pid }) => pid).find((pid) => !killed.has(pid));
    return server !== undefined;
  });
  if (server === undefined) return;
  killed.add(server);
  process.kill(server, "SIGKILL");
}

before(async () => {
  machine = await Machine.start({ window: 8192 });
  window = await machine.open("project");
});
afterEach(keepPictures);
after(() => machine?.stop());

test("killed in mid-answer the server comes back with the question kept, and says so", async () => {
  await machine.model.answer({ pieces: ["The cask ", "is full."], held: true });
  await window.chat.start();
  await window.chat.send("@ullage How full is the cask?");
  await window.chat.answers.filter({ hasText: "The cask" }).waitFor();
  await kill();
  await window.chat.answers.filter({ hasText: /server ended/ }).waitFor();
  await window.statusItem(/\d+\/8k/).waitFor();
  await window.screenshot("killed");
  const hand = await window.hand;
  const { context } = await hand.request<{ context: { id: string } }>("context/status", {});
  const { messages } = await hand.request<{ messages: { content: string }[] }>("context/messages", {
    contextId: context.id,
  });
  assert.equal(messages[0]?.content, "How full is the cask?");
});

test("after five ends in three minutes it is not started again, and the log is offered", async () => {
  for (let ends = 1; ends < 5; ends++) await kill();
  const notification = window.notification("ended five times in three minutes");
  await notification.waitFor();
  assert.deepEqual(await window.buttons(notification), ["Show Log", "Restart Server"]);
  await until("a red item", async () => (await window.statusKind("ullage.status")) === "error");
  await window.press(notification, "Restart Server");
  await window.statusItem(/\d+\/8k/).waitFor();
});
