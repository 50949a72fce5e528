// VS Code's chat messages as the server's. Parts are told apart by their fields, so that this needs no editor to run.
import type { ChatOptions, NewMessage, Tool } from "../protocol.ts";

export interface RequestMessage {
  readonly role: number;
  readonly content: readonly unknown[];
  readonly name?: string | undefined;
}

export interface RequestTool {
  readonly name: string;
  readonly description: string;
  readonly inputSchema?: object | undefined;
}

interface TextPart {
  value: string;
}
interface CallPart {
  callId: string;
  name: string;
  input: object;
}
interface ResultPart {
  callId: string;
  content: readonly unknown[];
}
interface DataPart {
  mimeType: string;
  data: Uint8Array;
}

/** For what no model could answer, in words for the person who asked. */
export class Unsupported extends Error {}

/** `3`, the system's, is sent though it is missing in the typed API. */
const ROLES: Readonly<Record<number, "user" | "assistant" | "system">> = {
  1: "user",
  2: "assistant",
  3: "system",
};

const PICTURE = "(A picture stood here. The model takes text only.)";
/** Those at the beginning and at the end. The look behind keeps a text of many empty lines from being tried at each. */
const NOTES = /^(?:\n*> \*Ullage: [^\n]*\*(?=\n|$))+\n*|(?<!\n)(?:\n{2,}> \*Ullage: [^\n]*\*)+\n*$/g;

/** What the extension itself has to say at an answer; taken out again before the answer is sent back to a model. */
export function note(text: string): string {
  return `\n\n> *Ullage: ${text}*\n\n`;
}

/**
 * Results of tools come before the words of the message that brings them: between a call and its result stands nothing
 * else. A picture in the newest message is refused; older ones were asked about before this model was chosen.
 */
export function newMessages(messages: readonly RequestMessage[], refusesPictures = true): NewMessage[] {
  return messages.flatMap((message, index) =>
    sentAs(message, refusesPictures && index === messages.length - 1),
  );
}

function sentAs({ role, content, name }: RequestMessage, refusesPictures: boolean): NewMessage[] {
  const spoken = ROLES[role] ?? "user";
  if (refusesPictures && content.some(isPicture)) {
    throw new Unsupported("This model takes text only. Take the picture out of your question and ask again.");
  }
  const results = content.filter(isResult).map(resultMessage);
  const calls = content.filter(isCall).map((call) => ({
    id: call.callId,
    name: call.name,
    arguments: JSON.stringify(call.input ?? {}),
  }));
  const said = textOf(content);
  const text = spoken === "assistant" ? said.replaceAll(NOTES, "") : said;
  if (!text && !calls.length) return results;
  const words: NewMessage = { role: spoken, content: text };
  if (calls.length) words.toolCalls = calls;
  if (name) words.name = name;
  return [...results, words];
}

function resultMessage(part: ResultPart): NewMessage {
  return { role: "tool", content: textOf(part.content), toolCallId: part.callId };
}

/**
 * The words among parts. Data that is no text (marks for a provider's cache, its state, its thoughts) is VS Code's own
 * bookkeeping for other providers and means nothing to a model here.
 */
export function textOf(parts: readonly unknown[]): string {
  return parts.map(wordsOf).filter(Boolean).join("\n");
}

function wordsOf(part: unknown): string {
  if (isCall(part) || isResult(part)) return "";
  if (isData(part)) {
    if (isPicture(part)) return PICTURE;
    const isText = /^text\/|^application\/(.+\+)?json$/.test(part.mimeType);
    return isText ? new TextDecoder().decode(part.data) : "";
  }
  if (isText(part)) return part.value;
  // A tool's result may be a tree of VS Code's own prompt language; as JSON nothing of it is lost.
  return typeof part === "object" && part !== null && "value" in part ? JSON.stringify(part.value) : "";
}

export function toolsOf(tools: readonly RequestTool[] | undefined): Tool[] {
  return (tools ?? []).map(({ name, description, inputSchema }) => ({
    name,
    description,
    parameters: inputSchema ?? { type: "object", properties: {} },
  }));
}

/** Names by which extensions ask for the sampler's settings. */
const OPTIONS = {
  temperature: "temperature",
  topP: "topP",
  top_p: "topP",
  maxTokens: "maxTokens",
  max_tokens: "maxTokens",
  seed: "seed",
} as const;

export function chatOptions(
  tools: Tool[],
  isToolRequired: boolean,
  modelOptions: Readonly<Record<string, unknown>> = {},
): ChatOptions {
  const options: ChatOptions = {};
  for (const [name, field] of Object.entries(OPTIONS)) {
    const value = modelOptions[name];
    if (typeof value === "number") options[field] = value;
  }
  return tools.length ? { ...options, tools, toolChoice: isToolRequired ? "required" : "auto" } : options;
}

function isText(part: unknown): part is TextPart {
  return has(part, "value") && typeof part.value === "string";
}

function isCall(part: unknown): part is CallPart {
  return has(part, "callId") && "name" in part;
}

function isResult(part: unknown): part is ResultPart {
  return has(part, "callId") && "content" in part;
}

function isData(part: unknown): part is DataPart {
  return has(part, "mimeType");
}

function isPicture(part: unknown): boolean {
  return isData(part) && part.mimeType.startsWith("image/");
}

function has<Name extends string>(part: unknown, name: Name): part is Record<Name, unknown> {
  return typeof part === "object" && part !== null && name in part;
}
