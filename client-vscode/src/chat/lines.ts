// The participant's slash commands: which line of the server each is, what can follow it, and what helps after a failure.
import type { Failure, Kind, Remedy } from "../failures.ts";
import { SHOW_LOG } from "../failures.ts";
import { oneLine } from "../figures.ts";
import type { ContextList, ModelList, SnapshotPage } from "../protocol.ts";

export interface Followup {
  readonly command: string;
  readonly prompt: string;
  readonly label: string;
}

/** Has answered what waits for an answer. */
export const RETRY = "retry";

export function lineOf(command: string, prompt: string): string {
  return `/context ${command} ${prompt}`.trim();
}

/** What a person may want next. `data` is the result that the line stands for. */
export function followups(command: string, prompt: string, data: unknown): Followup[] {
  if (!prompt && command in CHOICES) return CHOICES[command as keyof typeof CHOICES](data as never);
  return NEXT[command] ?? [];
}

const UNDO: Followup = { command: "undo", prompt: "", label: "Take it back" };
const COMPRESS: Followup = { command: "compress", prompt: "", label: "Make room now" };
const SIZE: Followup = { command: "size", prompt: "", label: "What size fits, and why" };

const NEXT: Readonly<Record<string, Followup[]>> = {
  status: [COMPRESS, { command: "stats", prompt: "", label: "All figures" }],
  stats: [COMPRESS],
  compress: [UNDO],
  clear: [UNDO],
  restore: [UNDO],
  memory: [SIZE],
};

const OFFERED = 4;

const CHOICES = {
  restore: ({ snapshots }: SnapshotPage) =>
    [...snapshots]
      .sort((first, second) => second.createdAt - first.createdAt)
      .slice(0, OFFERED)
      .map(({ id, summary }) => ({
        command: "restore",
        prompt: id,
        label: `Restore: ${oneLine(summary, 50)}`,
      })),
  switch: choiceOfContext,
  list: choiceOfContext,
  models: choiceOfModel,
  model: choiceOfModel,
};

function choiceOfContext({ contexts }: ContextList): Followup[] {
  return contexts
    .filter(({ priority }) => priority !== "active")
    .slice(0, OFFERED)
    .map(({ id, name }) => ({ command: "switch", prompt: id, label: `Go on in ${oneLine(name, 50)}` }));
}

function choiceOfModel({ models }: ModelList): Followup[] {
  return models
    .slice(0, OFFERED)
    .map(({ name }) => ({ command: "model", prompt: name, label: `Use ${oneLine(name, 50)}` }));
}

const REMEDIES: Readonly<Partial<Record<Kind, Remedy>>> = {
  noFolder: { title: "Open Folder", command: "workbench.action.files.openFolder" },
  providerUnavailable: { title: "Find Out Why", command: "ullage.doctor" },
  modelUnavailable: { title: "Choose Model", command: "ullage.chooseModel" },
  contextOverflow: { title: "Choose Size", command: "ullage.setSize" },
  cannotReduce: { title: "Choose Size", command: "ullage.setSize" },
  insufficientMemory: { title: "Choose Size", command: "ullage.setSize" },
  storeDamaged: SHOW_LOG,
  serverLost: SHOW_LOG,
  noServer: SHOW_LOG,
  internal: SHOW_LOG,
};

/** `takeOver` helps where another window writes the context; undefined where it is not known which context that is. */
export function remedyFor(failure: Failure, takeOver: Remedy | undefined): Remedy | undefined {
  return isElsewhere(failure) ? takeOver : REMEDIES[failure.kind];
}

/** A line that can't be read is the person's to mend, and the server says how. */
export function sentenceFor({ kind, message, data }: Failure): string {
  return kind === "invalidParams" && typeof data.reason === "string" ? data.reason : message;
}

function isElsewhere({ kind, data }: Failure): boolean {
  return kind === "contextBusy" && data.reason === "elsewhere";
}
