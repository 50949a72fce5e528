import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../src/failures.ts";

function rejection(code: number, message = "As it was sent.", data?: unknown) {
  return Object.assign(new Error(message), { code, data });
}

test("what the server refuses keeps its kind, its sentence and what is beside it", () => {
  const failure = Failure.of(
    rejection(-32803, "Compress first.", { kind: "contextOverflow", needed: 9000, limit: 8192 }),
  );
  assert.equal(failure.kind, "contextOverflow");
  assert.equal(failure.message, "Compress first.");
  assert.equal(failure.data.needed, 9000);
});

test("a failure stays itself", () => {
  const failure = new Failure("noFolder", "Open a folder.");
  assert.equal(Failure.of(failure), failure);
});

test("a cancelled request is known by its code, and by the editor's own error", () => {
  assert.equal(Failure.of(rejection(-32800)).kind, "cancelled");
  assert.equal(Failure.of(Object.assign(new Error(), { name: "Canceled" })).kind, "cancelled");
  assert.notEqual(Failure.of(rejection(-32803, "", { kind: "storeFull" })).kind, "cancelled");
});

test("a connection that is lost in mid-answer says that nothing is lost, whichever way it is noticed", () => {
  for (const code of [-32097, -32096, -32099, 1, 2]) {
    const failure = Failure.of(rejection(code, "Pending response rejected since connection got disposed"));
    assert.equal(failure.kind, "serverLost", `code ${code}`);
    assert.match(failure.message, /Nothing that was kept is lost/);
  }
});

test("params that the server does not understand keep its sentence for the log", () => {
  const failure = Failure.of(rejection(-32602, "role is no role.", { path: "messages[0].role" }));
  assert.equal(failure.kind, "invalidParams");
  assert.equal(failure.data.path, "messages[0].role");
  assert.equal(failure.data.reason, "role is no role.");
});

test("a person is never shown the words of a defect", () => {
  for (const error of [
    rejection(-32603, "KeyError: 'x'"),
    new TypeError("x is undefined"),
    "nonsense",
    undefined,
  ]) {
    assert.equal(Failure.of(error).kind, "internal");
    assert.doesNotMatch(Failure.of(error).message, /KeyError|undefined|nonsense/);
  }
});
