import assert from "node:assert/strict";
import { test } from "node:test";
import { written } from "../../src/chat/attachments.ts";

test("an attachment is named and fenced in its language", () => {
  const { text } = written([{ name: "src/a.ts", text: "let a;", language: "typescript" }], 100);
  assert.equal(text, "src/a.ts:\n```typescript\nlet a;\n```");
});

test("what is too long is cut at a line, with how much is missing", () => {
  const { text, shortened } = written([{ name: "log", text: "one\ntwo\nthree" }], 9);
  assert.deepEqual(shortened, ["log"]);
  assert.match(text, /one\ntwo\n```\n\(6 more characters are not shown\.\)$/);
});

test("what one leaves, the next ones may have", () => {
  const { shortened } = written(
    [
      { name: "small", text: "x" },
      { name: "large", text: "y".repeat(19) },
    ],
    20,
  );
  assert.deepEqual(shortened, []);
});

test("all together stay within the room", () => {
  const attachments = Array.from({ length: 7 }, (_, index) => ({ name: `${index}`, text: "z".repeat(1000) }));
  const { text } = written(attachments, 700);
  assert.equal(text.match(/z/g)?.length, 700);
});

test("text with fences in it can't end its block", () => {
  assert.match(
    written([{ name: "README.md", text: "```\ncode\n```" }], 100).text,
    /^README\.md:\n````\n```\ncode\n```\n````$/,
  );
});

test("a character of two halves is not cut in two", () => {
  assert.doesNotMatch(written([{ name: "a", text: "x😀😀" }], 2).text, /[\uD800-\uDBFF](?![\uDC00-\uDFFF])/);
});
