import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Failure, type Kind } from "../../src/failures.ts";
import { isElsewhere, remediesOf, sentenceOf } from "../../src/remedies.ts";

const MANIFEST = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const KINDS: Kind[] = [
  "noFolder",
  "noServer",
  "serverLost",
  "internal",
  "contextOverflow",
  "cannotReduce",
  "insufficientMemory",
  "modelUnavailable",
  "providerUnavailable",
  "providerError",
  "storeFull",
];

test("each remedy is a command that there is", () => {
  const declared = new Set(MANIFEST.contributes.commands.map(({ command }: { command: string }) => command));
  for (const kind of KINDS) {
    const remedies = remediesOf(new Failure(kind, ""));
    assert.ok(remedies.length > 0, kind);
    for (const { command } of remedies)
      assert.ok(declared.has(command) || command === "vscode.openFolder", command);
  }
});

test("of what the server would not take its own sentence is shown", () => {
  const refused = new Failure("invalidParams", "Not understood.", {
    path: "name",
    reason: "Choose another name.",
  });
  assert.equal(sentenceOf(refused), "Choose another name.");
  assert.equal(
    sentenceOf(new Failure("storeFull", "The disk is full.", { reason: "x" })),
    "The disk is full.",
  );
});

test("only a context that another window writes can be taken over", () => {
  assert.ok(isElsewhere(new Failure("contextBusy", "", { reason: "elsewhere", holder: "an editor" })));
  assert.ok(!isElsewhere(new Failure("contextBusy", "", { reason: "answering" })));
});
