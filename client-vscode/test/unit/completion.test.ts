import assert from "node:assert/strict";
import { test } from "node:test";
import { collected, complete, type Stream, tooLarge, type Usage } from "../../src/chat/completion.ts";
import { Failure } from "../../src/failures.ts";
import type { ChatResult, Partial } from "../../src/protocol.ts";

const RESULT = {
  message: { content: "Yes.", toolCalls: [] },
  usage: { tokens: 40 },
  timing: { promptTokens: 50, completionTokens: 3, reusedTokens: 20 },
  fitted: null,
  stopReason: "stop",
} as unknown as ChatResult;

const OVERFLOW = new Failure("contextOverflow", "Too much.", {
  needed: 15300,
  limit: 8192,
  system: 4000,
  tools: 9000,
});

interface Heard {
  texts: string[];
  calls: unknown[];
  usage: Usage[];
  asked: (boolean | undefined)[];
}

/** What comes of one question; `stream` answers it. */
async function heard(
  stream: Stream,
  conversation: string | undefined,
  told = new Set<string>(),
): Promise<Heard> {
  const all: Heard = { texts: [], calls: [], usage: [], asked: [] };
  const asking: Stream = (params, onPiece) => {
    all.asked.push(params.fit);
    return stream(params, onPiece);
  };
  await complete(asking, { model: "m", messages: [], options: {}, conversation }, told, {
    text: (value) => all.texts.push(value),
    call: (...each) => all.calls.push(each),
    usage: (each) => all.usage.push(each),
  });
  return all;
}

function answering(pieces: Partial[], result: object = {}): Stream {
  return async (_, onPiece) => {
    for (const piece of pieces) onPiece(piece);
    return { ...RESULT, ...result };
  };
}

/** Refuses what is not to be fitted. */
function fitting(then: Stream): Stream {
  return async (params, onPiece) => {
    if (!params.fit) throw OVERFLOW;
    return then(params, onPiece);
  };
}

test("pieces go on as they come, thoughts left out", async () => {
  const { texts } = await heard(answering([{ reasoning: "Hm." }, { delta: "Y" }, { delta: "es." }]), "c");
  assert.deepEqual(texts, ["Y", "es."]);
});

test("a call goes on with its arguments read", async () => {
  const toolCall = { id: "1", name: "read", arguments: '{"path": "a"}' };
  const { calls } = await heard(answering([{ toolCall }]), "c");
  assert.deepEqual(calls, [["1", "read", { path: "a" }]]);
});

test("a call without arguments has none", async () => {
  const { calls } = await heard(answering([{ toolCall: { id: "1", name: "now", arguments: "" } }]), "c");
  assert.deepEqual(calls, [["1", "now", {}]]);
});

for (const written of ["{path: a", "[1]", '"a"', "null"]) {
  test(`arguments that are no object are told in words: ${written}`, async () => {
    const { calls, texts } = await heard(
      answering([{ toolCall: { id: "1", name: "read", arguments: written } }]),
      "c",
    );
    assert.deepEqual(calls, []);
    assert.ok(texts.join("").includes(`\n${written}\n`) && texts.join("").includes("`read`"));
  });
}

test("what the model wrote can't end the block that it is shown in", async () => {
  const toolCall = { id: "1", name: "read", arguments: "```\nbreak out" };
  assert.match((await heard(answering([{ toolCall }]), "c")).texts.join(""), /````\n```\nbreak out\n````/);
});

test("usage is told in the fields that VS Code reads", async () => {
  assert.deepEqual((await heard(answering([]), "c")).usage, [
    {
      prompt_tokens: 50,
      completion_tokens: 3,
      total_tokens: 53,
      prompt_tokens_details: { cached_tokens: 20 },
    },
  ]);
});

test("a server that counts nothing leaves the count to ours", async () => {
  const timing = { promptTokens: null, completionTokens: 3, reusedTokens: null };
  const [usage] = (await heard(answering([], { timing }), "c")).usage;
  assert.deepEqual([usage?.prompt_tokens, usage?.prompt_tokens_details.cached_tokens], [40, 0]);
});

test("before anything is left out of a conversation the person is told, with the figures", async () => {
  const { texts, asked } = await heard(fitting(answering([{ delta: "Y" }, { delta: "es." }])), "c");
  assert.deepEqual(asked, [false, true]);
  assert.match(texts[0] ?? "", /^\n\n> \*Ullage: .*15,300.*8,192/);
  assert.deepEqual(texts.slice(1), ["Y", "es."]);
});

test("that is told once for each conversation", async () => {
  const told = new Set<string>();
  await heard(fitting(answering([{ delta: "Yes." }])), "c", told);
  const { texts, asked } = await heard(fitting(answering([{ delta: "Yes." }])), "c", told);
  assert.deepEqual([texts, asked], [["Yes."], [true]]);
});

test("a program's question is fitted without words between", async () => {
  const { texts, asked } = await heard(fitting(answering([{ delta: "Yes." }])), undefined);
  assert.deepEqual([texts, asked], [["Yes."], [true]]);
});

test("a question that can't be made to fit is refused, and nothing was said", async () => {
  const told = new Set<string>();
  const refusing = fitting(async () => {
    throw OVERFLOW;
  });
  await assert.rejects(heard(refusing, "c", told), OVERFLOW);
  assert.equal(told.size, 0);
});

test("any other failure is not tried again", async () => {
  const gone = new Failure("providerUnavailable", "Nobody answers.");
  let asked = 0;
  const failing: Stream = async () => {
    asked++;
    throw gone;
  };
  await assert.rejects(heard(failing, "c"), gone);
  assert.equal(asked, 1);
});

const empty = { content: "", toolCalls: [] };
for (const [what, result, expected] of [
  ["an answer that filled the window", { stopReason: "length" }, /ends here/],
  ["an answer that was all thoughts", { stopReason: "length", message: empty }, /still thinking/],
  ["an empty answer", { message: empty }, /nothing at all/],
] as const) {
  test(`${what} is remarked on, in a chat`, async () => {
    assert.match((await heard(answering([], result), "c")).texts.join(""), expected);
  });
  test(`${what} is a program's own to see`, async () => {
    assert.deepEqual((await heard(answering([], result), undefined)).texts, []);
  });
}

test("a whole answer is not remarked on", async () => {
  assert.deepEqual((await heard(answering([{ delta: "Yes." }]), "c")).texts, ["Yes."]);
});

test("what does not fit is told with needed, limit, shares and a way out", () => {
  const sentence = tooLarge(OVERFLOW, 40) ?? "";
  for (const word of [
    "15,300",
    "8,192",
    "9,000",
    "40 tools",
    "4,000",
    "Ullage Edit",
    "larger context size",
  ]) {
    assert.ok(sentence.includes(word), `${word} in: ${sentence}`);
  }
});

test("without tools nothing is said of them", () => {
  assert.doesNotMatch(tooLarge(OVERFLOW, 0) ?? "", /tools/);
});

test("a small agent is not told to be a small agent", () => {
  assert.doesNotMatch(tooLarge(OVERFLOW, 4) ?? "", /Ullage/);
});

test("other failures have their own sentences", () => {
  assert.equal(tooLarge(new Failure("providerError", "It failed."), 3), undefined);
});

test("what was collected is told later, in its order", async () => {
  const pieces = await collected(async (sink) => {
    sink.text("a");
    sink.call("1", "read", {});
    sink.text("b");
  });
  const told: string[] = [];
  for (const piece of pieces) {
    piece({
      text: (value) => told.push(value),
      call: (id) => told.push(id),
      usage: () => told.push("usage"),
    });
  }
  assert.deepEqual(told, ["a", "1", "b"]);
});
