import assert from "node:assert/strict";
import { test } from "node:test";
import { chatOptions, newMessages, note, textOf, toolsOf, Unsupported } from "../../src/chat/messages.ts";

const [USER, ASSISTANT, SYSTEM] = [1, 2, 3];
const text = (value: string) => ({ value });
const data = (mimeType: string, content: string) => ({ mimeType, data: new TextEncoder().encode(content) });
const result = (callId: string, ...content: unknown[]) => ({ callId, content });
const call = (callId: string, input: object) => ({ callId, name: "read_file", input });

test("each role is the server's own", () => {
  const messages = [SYSTEM, USER, ASSISTANT].map((role) => ({ role, content: [text("words")] }));
  assert.deepEqual(
    newMessages(messages).map(({ role }) => role),
    ["system", "user", "assistant"],
  );
});

test("a call goes out with its arguments as JSON text", () => {
  const [message] = newMessages([{ role: ASSISTANT, content: [text("Looking."), call("1", { path: "a" })] }]);
  assert.deepEqual(message, {
    role: "assistant",
    content: "Looking.",
    toolCalls: [{ id: "1", name: "read_file", arguments: '{"path":"a"}' }],
  });
});

test("results stand right behind their calls, whatever words come between them", () => {
  const sent = newMessages([
    { role: ASSISTANT, content: [call("1", {}), call("2", {})] },
    { role: USER, content: [result("1", text("one")), text("Go on."), result("2", text("two"))] },
  ]);
  assert.deepEqual(
    sent.slice(1).map(({ role, content, toolCallId }) => [role, content, toolCallId]),
    [
      ["tool", "one", "1"],
      ["tool", "two", "2"],
      ["user", "Go on.", undefined],
    ],
  );
});

test("a result without words still answers its call", () => {
  assert.deepEqual(newMessages([{ role: USER, content: [result("1")] }]), [
    { role: "tool", content: "", toolCallId: "1" },
  ]);
});

test("a message in which nothing is left is not sent", () => {
  assert.deepEqual(newMessages([{ role: USER, content: [data("cache_control", "ephemeral")] }]), []);
});

test("a picture in the newest message is refused in words", () => {
  const asked = [{ role: USER, content: [text("What is it?"), data("image/png", "…")] }];
  assert.throws(() => newMessages(asked), Unsupported);
});

test("an older picture is named, not refused", () => {
  const [first] = newMessages([
    { role: USER, content: [data("image/png", "…")] },
    { role: USER, content: [text("And now?")] },
  ]);
  assert.match(first?.content ?? "", /picture stood here/);
});

test("text and JSON among data are read", () => {
  assert.equal(
    textOf([data("text/plain", "a"), data("application/json", "{}"), data("usage", "x")]),
    "a\n{}",
  );
});

test("a tree of VS Code's prompt language is kept as JSON", () => {
  assert.equal(textOf([{ value: { node: 1 } }]), '{"node":1}');
});

for (const [where, said] of [
  ["above", `${note("older turns are left out.")}The answer.`],
  ["below", `The answer.${note("the window is full.")}`],
  ["above and below", `${note("one.")}The answer.${note("two.")}`],
  ["two above", `${note("one.")}${note("two.")}The answer.`],
  ["two below", `The answer.${note("one.")}${note("two.")}`],
  ["above, cut short at its end", `${note("one.").trim()}\nThe answer.`],
]) {
  test(`what the extension said ${where} an answer does not come back to the model`, () => {
    const [message] = newMessages([{ role: ASSISTANT, content: [text(said ?? "")] }]);
    assert.equal(message?.content, "The answer.");
  });
}

test("a person's words are sent as they are, whatever they look like", () => {
  const said = `Why does it say${note("this?")}`;
  assert.equal(newMessages([{ role: USER, content: [text(said)] }])[0]?.content, said);
});

test("tools carry a schema even where VS Code names none", () => {
  const [tool] = toolsOf([{ name: "now", description: "Tells the time" }]);
  assert.deepEqual(tool?.parameters, { type: "object", properties: {} });
});

test("a tool that must be called is required", () => {
  const tools = toolsOf([{ name: "now", description: "" }]);
  assert.deepEqual(
    [true, false].map((required) => chatOptions(tools, required).toolChoice),
    ["required", "auto"],
  );
});

test("without tools nothing is said of them", () => {
  assert.deepEqual(chatOptions([], true), {});
});

test("only the sampler's own settings are passed on, and only numbers", () => {
  const options = chatOptions([], false, {
    top_p: 0.5,
    max_tokens: 9,
    temperature: "warm",
    _conversationId: "c",
  });
  assert.deepEqual(options, { topP: 0.5, maxTokens: 9 });
});

test("counting a picture refuses nothing", () => {
  const counted = newMessages([{ role: USER, content: [data("image/png", "…")] }], false);
  assert.match(counted[0]?.content ?? "", /picture stood here/);
});

test("a long answer of empty lines is looked through in no time", () => {
  const time = (length: number) => {
    const message = { role: ASSISTANT, content: [text(`a${"\n".repeat(length)}b`)] };
    const began = performance.now();
    newMessages([message]);
    return performance.now() - began;
  };
  time(1000);
  assert.ok(time(40_000) < 20 * Math.max(time(4000), 1), "it takes more than in proportion");
});
