import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { followups, lineOf, RETRY, remedyFor, sentenceFor } from "../../src/chat/lines.ts";
import { Failure } from "../../src/failures.ts";
import { LINES } from "../../src/protocol.ts";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const commands: { name: string; description: string }[] = manifest.contributes.chatParticipants[0].commands;

test("every slash command is a line of the server, but for the retry", () => {
  const lines: string[] = LINES.map(({ name }) => name);
  assert.deepEqual(
    commands.map(({ name }) => name).filter((name) => !lines.includes(name)),
    [RETRY],
  );
});

test("a slash command with words is a line with an argument", () => {
  assert.equal(lineOf("size", "8k"), "/context size 8k");
  assert.equal(lineOf("status", ""), "/context status");
});

test("a list of snapshots can be chosen from, the newest first", () => {
  const snapshots = [1, 2, 3, 4, 5].map((at) => ({ id: `S${at}`, createdAt: at, summary: `words ${at}` }));
  const offered = followups("restore", "", { snapshots });
  assert.deepEqual(
    offered.map(({ command, prompt }) => `${command} ${prompt}`),
    ["restore S5", "restore S4", "restore S3", "restore S2"],
  );
});

test("after a restore it can be taken back", () => {
  assert.deepEqual(
    followups("restore", "S1", {}).map(({ command }) => command),
    ["undo"],
  );
});

test("of contexts, those are offered where the person is not", () => {
  const contexts = [
    { id: "A", name: "main", priority: "active" },
    { id: "B", name: "other", priority: "ready" },
  ];
  assert.deepEqual(
    followups("list", "", { contexts }).map(({ command, prompt }) => `${command} ${prompt}`),
    ["switch B"],
  );
});

test("of models, every one is a choice", () => {
  const models = [{ name: "a" }, { name: "b" }];
  assert.deepEqual(
    followups("models", "", { models }).map(({ prompt }) => prompt),
    ["a", "b"],
  );
});

test("a line that can't be read is told as the server tells it", () => {
  const failure = new Failure("invalidParams", "Not understood.", { path: "line", reason: "Say on or off." });
  assert.equal(sentenceFor(failure), "Say on or off.");
});

test("every button's command is the extension's or VS Code's own", () => {
  const own: string[] = manifest.contributes.commands.map(({ command }: { command: string }) => command);
  const kinds = [
    "noFolder",
    "providerUnavailable",
    "modelUnavailable",
    "contextOverflow",
    "noServer",
  ] as const;
  for (const kind of kinds) {
    const command = remedyFor(new Failure(kind, ""), undefined)?.command ?? "";
    assert.ok(command.startsWith("workbench.") || own.includes(command), `${kind}: ${command}`);
  }
});

test("only a context that is written elsewhere can be taken over, and only where it is known which one that is", () => {
  const takeOver = { title: "Take Over", command: "ullage.takeOver" };
  const busy = (reason: string) => new Failure("contextBusy", "Busy.", { reason });
  assert.equal(remedyFor(busy("elsewhere"), takeOver), takeOver);
  assert.equal(remedyFor(busy("elsewhere"), undefined), undefined);
  assert.equal(remedyFor(busy("answering"), takeOver), undefined);
});
