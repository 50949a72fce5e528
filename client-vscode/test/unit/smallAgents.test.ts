import assert from "node:assert/strict";
import { test } from "node:test";
import { madeSmall } from "../../src/chat/smallAgents.ts";

/** In the form of VS Code 1.139. */
function system(agent: string): string {
  return `You are an expert AI programming assistant, working in VS Code.
<instructions>
Many rules.
</instructions>
<outputFormatting>
More rules.
</outputFormatting>

<instructions>
<attachment filePath="AGENTS.md">
The person's own rule.
</attachment>
<skills>
<skill>
<name>chronicle</name>
</skill>
</skills>


</instructions>
<modeInstructions>
You are currently running in "${agent}" mode. Below are your instructions for this mode, they must take precedence.

Answer briefly.
</modeInstructions>
The following template variables are available for this session:
- VSCODE_TARGET_SESSION_LOG: /tmp/4d17f6de
When a skill or instruction references {{VSCODE_VARIABLE_NAME}}, substitute the corresponding value above.
`;
}

const tools = (...names: string[]) => names.map((name) => ({ name, description: "", parameters: {} }));
const asked = (agent: string, ...names: string[]) => ({
  messages: [
    { role: "system" as const, content: system(agent) },
    { role: "user" as const, content: "<skills>mine</skills>" },
  ],
  tools: tools(...names),
});
const sent = (agent: string, ...names: string[]) => madeSmall(asked(agent, ...names));

for (const agent of ["Ullage", "Ullage Edit"]) {
  test(`${agent} gets its own instructions and the person's, and nothing else`, () => {
    const content = sent(agent).messages[0]?.content ?? "";
    assert.doesNotMatch(content, /expert|rules|chronicle|4d17f6de/);
    assert.match(content, /^<instructions>\s*<attachment filePath="AGENTS.md">\s*The person's own rule\./);
    assert.match(content, /Answer briefly\.\s*<\/modeInstructions>$/);
  });
}

test("without instructions of the person no empty ones are left", () => {
  const request = asked("Ullage");
  const content = system("Ullage").replace(/<attachment[\s\S]*<\/attachment>\n/, "");
  const [message] = madeSmall({ ...request, messages: [{ role: "system", content }] }).messages;
  assert.match(message?.content ?? "", /^<modeInstructions>/);
});

test("the person's words stay as they are", () => {
  assert.equal(sent("Ullage").messages[1]?.content, "<skills>mine</skills>");
});

test("other agents' requests stay as they are", () => {
  const request = asked("Agent", "read_file", "session_store_sql");
  assert.deepEqual(madeSmall(request), request);
});

test("tools that VS Code gives to everyone are left out", () => {
  const names = sent(
    "Ullage Edit",
    "read_file",
    "replace_string_in_file",
    "insert_edit_into_file",
    "session_store_sql",
  );
  assert.deepEqual(
    names.tools.map(({ name }) => name),
    ["read_file", "replace_string_in_file"],
  );
});

test("an agent keeps the only tool that it can edit with", () => {
  assert.deepEqual(
    sent("Ullage Edit", "read_file", "insert_edit_into_file").tools.map(({ name }) => name),
    ["read_file", "insert_edit_into_file"],
  );
});

test("instructions in an unknown form stay as they are", () => {
  const content = 'You are currently running in "Ullage" mode. Something new.';
  const messages = [{ role: "system" as const, content }];
  assert.deepEqual(madeSmall({ messages, tools: [] }), { messages, tools: [] });
});
