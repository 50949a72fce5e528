import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { keepPictures } from "../support/browser.ts";
import { Machine } from "../support/machine.ts";
import { until } from "../support/waiting.ts";
import type { Workbench } from "../support/workbench.ts";

const CELLAR = "The tun in the cellar holds 954 litres.\n";
let machine: Machine;
let window: Workbench;
let file: string;

before(async () => {
  machine = await Machine.start({ window: 16_384 });
  file = join(machine.editor.folder("project", { "cellar.txt": CELLAR }), "cellar.txt");
  window = await machine.open("project");
  await window.enableAgents();
  await window.chat.start();
});
afterEach(keepPictures);
after(() => machine?.stop());

/** Another conversation, with this agent. */
async function begin(agent: string): Promise<void> {
  await window.clearNotifications();
  await window.chat.startNew();
  await window.chat.pickAgent(agent);
}

test("@ullage answers in the conversation that is kept, and the status bar shows it", async () => {
  await machine.model.answer({ pieces: ["An ullage is ", "the room left in a cask."] });
  assert.equal(await window.chat.ask("@ullage What is an ullage?"), "An ullage is the room left in a cask.");
  await window.statusItem(/^○ [1-9]\d+\/16k/).waitFor();
  assert.match(await window.chat.ask("@ullage /status"), /Tokens\s+\d+ \/ 16,384/);
  await window.screenshots("chat-participant");
});

test("the read-only agent calls a tool, and its result goes back to the model", async () => {
  await begin("Ullage");
  const read = { filePath: file, startLine: 1, endLine: 1 };
  await machine.model.answer(
    { calls: [{ name: "read_file", arguments: JSON.stringify(read) }] },
    { pieces: ["The tun holds 954 litres."] },
  );
  assert.match(await window.chat.ask("How much does the tun hold?"), /The tun holds 954 litres\./);
  const asked = (await machine.model.asked()).filter(({ tools }) => tools?.length);
  const [before, after] = asked.slice(-2);
  assert.equal(before?.tools?.length, 3);
  const [call, result] = after?.messages.slice(-2) ?? [];
  assert.equal(call?.role, "assistant");
  assert.equal(result?.role, "tool");
  assert.ok(result?.content.includes(CELLAR.trim()));
  await window.screenshot("chat-agent");
});

test("the agent that edits changes a file", async () => {
  await begin("Ullage Edit");
  const change = { filePath: file, oldString: "954", newString: "1,146" };
  await machine.model.answer(
    { calls: [{ name: "replace_string_in_file", arguments: JSON.stringify(change) }] },
    { pieces: ["The tun holds 1,146 litres now."] },
  );
  assert.match(await window.chat.ask("The tun holds 1,146 litres."), /1,146 litres now/);
  await until("the file changed", () => readFileSync(file, "utf8").includes("1,146"));
});

test("what the built-in agent sends is too large, and nothing of it is sent", async () => {
  await begin("Agent");
  const before = (await machine.model.asked()).length;
  const answer = await window.chat.ask("How much does the tun hold?");
  assert.match(answer, /This needs [\d,]+ tokens .* and the model's window has 16,384/);
  assert.match(answer, /Nothing was sent/);
  assert.equal((await machine.model.asked()).length, before);
  await window.screenshot("chat-too-large");
});

test("stopping an answer ends it at the model server too, and what has come stays", async () => {
  await begin("Ullage");
  await machine.model.answer({ pieces: ["The beginning ", "and the end."], held: true });
  await window.chat.send("Tell me a story.");
  await window.chat.answers.filter({ hasText: "The beginning" }).waitFor();
  await window.chat.stop();
  await until("the answer broken off", async () => (await machine.model.cancelled()) > 0);
  assert.match(await window.chat.lastAnswer(), /^The beginning/);
});
