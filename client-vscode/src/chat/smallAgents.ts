// Makes the requests of Ullage's own two agents small: VS Code puts instructions and tools into every agent's request
// that are meant for large models, some 4,000 tokens of them. What is not recognised stays as it is.
import type { NewMessage, Tool } from "../protocol.ts";

const OWN_AGENT = /You are currently running in "Ullage(?: Edit)?" mode/;

const FOR_LARGE_MODELS = [
  // Manners, tool use and formatting of the built-in agent; what an agent of ours has to know stands in its own file.
  /^You are an expert AI programming assistant[\s\S]*?<\/outputFormatting>\s*/,
  // Skills are files of thousands of tokens.
  /<skills>[\s\S]*?<\/skills>\s*/g,
  // Folders of this very session, which would make each new chat's beginning another one for the model's cache.
  /\s*The following template variables are available for this session:[\s\S]*?substitute the corresponding value above\.\s*/g,
  /<instructions>\s*<\/instructions>\s*/g,
];

/** Given to every agent, whatever its file says. */
const ALWAYS_GIVEN = ["session_store_sql", "insert_edit_into_file"];
const EDITS = "replace_string_in_file";

export interface Request {
  readonly messages: NewMessage[];
  readonly tools: Tool[];
}

export function madeSmall({ messages, tools }: Request): Request {
  const isOurs = messages.some(({ role, content }) => role === "system" && OWN_AGENT.test(content));
  if (!isOurs) return { messages, tools };
  const canDoWithout = tools.some(({ name }) => name === EDITS) ? ALWAYS_GIVEN : ALWAYS_GIVEN.slice(0, 1);
  return {
    messages: messages.map((message) => (message.role === "system" ? shortened(message) : message)),
    tools: tools.filter(({ name }) => !canDoWithout.includes(name)),
  };
}

function shortened(message: NewMessage): NewMessage {
  const content = FOR_LARGE_MODELS.reduce((text, pattern) => text.replace(pattern, ""), message.content);
  return { ...message, content };
}
