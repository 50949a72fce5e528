import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation, OperationKind } from "../../src/protocol.ts";
import { canUndo, undoable, wordsOf } from "../../src/undoable.ts";

function operation(id: string, kind: OperationKind, detail: object = {}): Operation {
  return { id, contextId: "c", kind, at: 0, origin: "client", detail };
}

test("a change of the window can be taken back once", () => {
  const history = [operation("1", "compress"), operation("2", "undo", { operationId: "1" })];
  assert.ok(canUndo(history.slice(0, 1)));
  assert.ok(!canUndo(history));
});

test("an undo leaves earlier changes to be taken back", () => {
  const history = [
    operation("1", "clear"),
    operation("2", "restore"),
    operation("3", "undo", { operationId: "2" }),
  ];
  assert.deepEqual(undoable(history), [history[0]]);
  assert.ok(canUndo(history));
});

test("what was said is taken back only by its name", () => {
  const history = [operation("1", "chat"), operation("2", "append")];
  assert.ok(!canUndo(history));
  assert.equal(undoable(history).length, 2);
});

test("what did not change the window is not offered", () => {
  const kinds: OperationKind[] = [
    "open",
    "pin",
    "unpin",
    "snapshot",
    "selectModel",
    "resize",
    "forget",
    "rename",
  ];
  assert.deepEqual(undoable(kinds.map((kind) => operation(kind, kind))), []);
});

test("a kind is told in words", () => {
  assert.equal(wordsOf("selectModel"), "Select model");
});
