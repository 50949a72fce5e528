// What VS Code is told of a model: how much it takes, and which sizes of window can be chosen for it.
import type { integer, Model, SizingReport } from "../protocol.ts";

/** The fields that VS Code reads; those behind the empty line are passed on though they are missing in the typed API. */
export interface Information {
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly version: string;
  readonly detail: string;
  readonly tooltip: string;
  readonly maxInputTokens: number;
  readonly maxOutputTokens: number;
  readonly capabilities: { readonly toolCalling: boolean; readonly imageInput: boolean };

  readonly isUserSelectable: boolean;
  readonly maxContextWindowTokens: number;
  readonly configurationSchema?: object;
}

/** A model's window: the size that it has or would get, and the largest that it could be given. */
export interface Sizes {
  readonly present: integer;
  readonly largest: integer;
  /** Its server was started with this size and keeps it, or it can't be told what fits. */
  readonly isFixed: boolean;
}

const SERVERS: Readonly<Record<string, string>> = {
  ollama: "Ollama",
  llamacpp: "llama.cpp",
  lmstudio: "LM Studio",
  vllm: "vLLM",
  openai: "OpenAI-compatible server",
  embedded: "Built in",
};

/** For a model of which no size can be known: what most servers give where nobody asks for more. */
const UNKNOWN_WINDOW = 4096;
const SMALLEST_CHOICE = 4096;
/** What limits a size where a larger one was looked for, and not merely unknown or out of our hands. */
const KNOWN_LARGEST: readonly string[] = ["memory", "model", "maximum"];
const K = 1024;

export function sizesOf(model: Model, report?: SizingReport, largest?: SizingReport): Sizes {
  const present = model.allocatedContext ?? report?.tokens ?? model.contextLength ?? UNKNOWN_WINDOW;
  const isFixed = !KNOWN_LARGEST.includes(largest?.limitedBy ?? "provider");
  return { present, largest: Math.max(largest?.tokens ?? 0, present), isFixed };
}

/** `reserve` are the tokens that the settings keep for an answer, of which a quarter of the window is the most. */
export function information(model: Model, sizes: Sizes, reserve: integer): Information {
  const answer = Math.min(reserve, Math.floor(sizes.present / 4));
  const [family = model.name, version = "latest"] = model.name.split(":");
  const choices = choicesOf(sizes);
  return {
    id: model.name,
    name: model.name,
    family,
    version,
    detail: detailOf(model, sizes.present),
    tooltip: tooltipOf(model, sizes.present, answer),
    maxInputTokens: sizes.present - answer,
    maxOutputTokens: answer,
    capabilities: { toolCalling: true, imageInput: false },
    isUserSelectable: true,
    maxContextWindowTokens: sizes.present,
    ...(choices.length > 1
      ? { configurationSchema: { properties: { contextSize: choice(choices, sizes) } } }
      : {}),
  };
}

/** The doubled sizes up to the largest that fits, that one, and the present one. */
export function choicesOf({ present, largest, isFixed }: Sizes): integer[] {
  if (isFixed) return [];
  const choices = new Set([present, largest]);
  for (let size = SMALLEST_CHOICE; size < largest; size *= 2) choices.add(size);
  return [...choices].sort((first, second) => first - second);
}

/** The first of each name: the server knows models by their names alone. */
export function nameable(models: readonly Model[]): Model[] {
  return [...new Map(models.toReversed().map((model) => [model.name, model])).values()].reverse();
}

export function short(tokens: integer): string {
  const unit = tokens % 1000 === 0 && tokens % K !== 0 ? 1000 : K;
  return tokens < unit ? `${tokens}` : `${Number((tokens / unit).toFixed(1))}k`;
}

function choice(sizes: readonly integer[], { present, largest }: Sizes): object {
  return {
    type: "number",
    title: "Context Size",
    group: "tokens",
    enum: sizes,
    enumItemLabels: sizes.map(short),
    enumDescriptions: sizes.map((size) =>
      size === present ? "as it is now" : size === largest ? "as much as fits" : "",
    ),
    default: present,
  };
}

function detailOf({ provider, allocatedContext, contextLength }: Model, present: integer): string {
  const most = contextLength && contextLength > present ? ` of ${short(contextLength)}` : "";
  const server = SERVERS[provider] ?? provider;
  return `${server} · ${short(present)}${most}${allocatedContext === null ? ", not loaded" : ""}`;
}

function tooltipOf({ name, provider, loaded }: Model, present: integer, answer: integer): string {
  const where = `${name} on ${SERVERS[provider] ?? provider}${loaded ? "" : ", loaded at the first question"}.`;
  const window = `A window of ${present.toLocaleString("en-GB")} tokens`;
  return `${where} ${window}, of which ${answer.toLocaleString("en-GB")} are kept for the answer.`;
}
