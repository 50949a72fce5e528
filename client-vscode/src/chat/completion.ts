// One answer for VS Code's chat, through the server: what comes, as it comes, and in words what the person must know.
import { Failure } from "../failures.ts";
import type { ChatOptions, ChatResult, CompleteParams, NewMessage, Partial, ToolCall } from "../protocol.ts";
import { note } from "./messages.ts";

export interface Question {
  readonly model: string;
  readonly messages: NewMessage[];
  readonly options: ChatOptions;
  /** Of a chat view; undefined where a program asked, which takes the answer's text as it is. */
  readonly conversation: string | undefined;
}

/** What VS Code takes of an answer. */
export interface Sink {
  text(value: string): void;
  call(id: string, name: string, input: object): void;
  usage(usage: Usage): void;
}

/** What `work` tells, to be told later. */
export async function collected(work: (sink: Sink) => Promise<void>): Promise<((sink: Sink) => void)[]> {
  const told: ((sink: Sink) => void)[] = [];
  await work({
    text: (value) => told.push((sink) => sink.text(value)),
    call: (id, name, input) => told.push((sink) => sink.call(id, name, input)),
    usage: (usage) => told.push((sink) => sink.usage(usage)),
  });
  return told;
}

/** In the fields that VS Code reads of a part of this name. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

export type Stream = (
  params: Omit<CompleteParams, "partialResultToken">,
  onPiece: (piece: Partial) => void,
) => Promise<ChatResult>;

/**
 * The newest question and all that belongs to it is always sent: where that alone is too much the server refuses. Old
 * turns and tool results are left out where they must be, and before that happens the person is told, once: `told` are
 * the conversations where that is done.
 */
export async function complete(
  stream: Stream,
  question: Question,
  told: Set<string>,
  sink: Sink,
): Promise<void> {
  const result = await fitted(stream, question, told, sink);
  const remark = question.conversation === undefined ? undefined : remarkOn(result);
  if (remark) sink.text(note(remark));
  sink.usage(usageOf(result));
}

async function fitted(
  stream: Stream,
  question: Question,
  told: Set<string>,
  sink: Sink,
): Promise<ChatResult> {
  const { model, messages, options, conversation } = question;
  const ask = (fit: boolean, onPiece: (piece: Partial) => void) =>
    stream({ model, messages, options, fit }, onPiece);
  const isTold = conversation === undefined || told.has(conversation);
  if (isTold) return ask(true, (piece) => take(piece, sink));
  try {
    return await ask(false, (piece) => take(piece, sink));
  } catch (error) {
    const { kind, data } = Failure.of(error);
    if (kind !== "contextOverflow") throw error;
    return ask(true, (piece) => {
      if (!told.has(conversation)) sink.text(note(outgrown(data)));
      told.add(conversation);
      take(piece, sink);
    });
  }
}

const CUT =
  "the answer ends here because the window is full. Start a new chat, or choose a larger context size.";
const ONLY_THOUGHT =
  "the model was still thinking when the window was full, and has said nothing yet. Choose a larger context size, or ask for less.";

const NOTHING = "the model answered nothing at all. Ask again, in other words.";

/** What there is to say below an answer. */
function remarkOn({ message, stopReason }: ChatResult): string | undefined {
  const isEmpty = !message.content && !message.toolCalls?.length;
  if (stopReason === "length") return isEmpty ? ONLY_THOUGHT : CUT;
  return stopReason === "stop" && isEmpty ? NOTHING : undefined;
}

/** What a model thinks is no part of its answer, and the typed API has no place for it. */
function take(piece: Partial, sink: Sink): void {
  if (piece.delta) sink.text(piece.delta);
  if (piece.toolCall) call(piece.toolCall, sink);
}

function call({ id, name, arguments: written }: ToolCall, sink: Sink): void {
  const input = objectIn(written);
  if (input) sink.call(id, name, input);
  else sink.text(`${misspelt(name)}\n\n${fenced(written)}\n`);
}

function objectIn(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text || "{}");
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function misspelt(name: string): string {
  return `The model asked for the tool \`${name}\` in a form that can't be read, so nothing was done. Ask it to try again. It wrote:`;
}

/** Longer than every fence in the text itself. */
function fenced(text: string): string {
  const fence = "`".repeat(Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length)) + 1);
  return `${fence}\n${text}\n${fence}`;
}

function outgrown(data: Failure["data"]): string {
  return (
    `this conversation needs ${figure(data, "needed")} tokens and has outgrown the window of ${figure(data, "limit")}.` +
    " From now on its oldest tool results and turns are left out of what the model sees; your newest question never is."
  );
}

function usageOf({ timing, usage }: ChatResult): Usage {
  const prompt = timing.promptTokens ?? usage.tokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: timing.completionTokens,
    total_tokens: prompt + timing.completionTokens,
    prompt_tokens_details: { cached_tokens: timing.reusedTokens ?? 0 },
  };
}

/** An agent with more tools than this is none of ours. */
const FEW_TOOLS = 6;

export function isLargeAgent(tools: number): boolean {
  return tools > FEW_TOOLS;
}

/** Where the room went, and what helps; undefined for every other failure. `tools`: how many were offered. */
export function tooLarge({ kind, data }: Failure, tools: number): string | undefined {
  if (kind !== "contextOverflow") return undefined;
  const shares = `${figure(data, "tools")} of them for ${tools} tools, ${figure(data, "system")} for instructions`;
  const remedy = isLargeAgent(tools)
    ? "Choose the agent Ullage or Ullage Edit in place of this one, which are made for small windows, or"
    : "Ask for less, start a new chat, or";
  return (
    `This needs ${figure(data, "needed")} tokens${tools ? ` (${shares})` : ""}, and the model's window has` +
    ` ${figure(data, "limit")}, the answer included. Nothing was sent. ${remedy} choose a larger context size.`
  );
}

function figure(data: Failure["data"], name: string): string {
  const value = data[name];
  return typeof value === "number" ? value.toLocaleString("en-GB") : "more";
}
