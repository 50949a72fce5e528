// What the status bar's hover shows, as Markdown: pure.
import { bar, counted, escaped, grouped, percent, shortMemory, size } from "./figures.ts";
import type { ContextStatus } from "./protocol.ts";

/** The commands that the hover may run; nothing else that stands in it is a link to a command. */
export const LINKED = {
  "ullage.compress": "Compress",
  "ullage.snapshot": "Snapshot",
  "ullage.setSize": "Size",
  "ullage.switchContext": "Switch",
  "ullage.openChat": "Chat",
} as const;

const SOURCES = {
  vocabulary: "exact, by the model's vocabulary",
  provider: "exact, by the model server",
  tiktoken: "approximate",
  estimate: "an estimate",
} as const;
const CACHE_KNOWN = { ours: "", measured: "", settings: " as set", assumed: " assumed" } as const;

export function tooltip(status: ContextStatus): string {
  const rows = [
    ["Window", windowText(status)],
    ["Model", modelText(status)],
    ["Memory", memoryText(status)],
    ["KV&nbsp;cache", cacheText(status)],
    ["Messages", messagesText(status)],
    [
      "Makes&nbsp;room",
      status.autoCompress.enabled
        ? `by itself from ${percent(status.autoCompress.threshold)}`
        : "only when asked",
    ],
    ["Snapshots", grouped(status.snapshots)],
  ];
  const heading = `**Ullage · ${escaped(status.context.name)}**${status.compressing ? " · $(loading~spin) compressing" : ""}`;
  const table = ["| | |", "|:--|:--|", ...rows.map(([name, text]) => `| ${name}&nbsp; | ${text} |`)].join(
    "\n",
  );
  const links = Object.entries(LINKED).map(([command, title]) => `[${title}](command:${command})`);
  return [heading, ...warningOf(status), table, links.join(" · ")].join("\n\n");
}

function warningOf(status: ContextStatus): string[] {
  if (status.warning === "none") return [];
  if (status.warning === "high") return ["$(warning) The window is nearly full."];
  const next = status.autoCompress.enabled
    ? "room is made before the next answer"
    : "compress or clear it, or choose another size";
  return [`$(warning) The window is full: ${next}.`];
}

function windowText({ usage }: ContextStatus): string {
  const filled = usage.limit
    ? `${bar(usage.fraction, 10)} ${grouped(usage.tokens)} / ${grouped(usage.limit)} (${percent(usage.fraction ?? 0)})`
    : `${counted(usage.tokens, "token")}, the window's size is not known`;
  return `${filled}, ${SOURCES[usage.source]}`;
}

function modelText({ model }: ContextStatus): string {
  if (!model.name) return "none answers yet";
  return `${escaped(model.name)}${model.provider ? ` on ${escaped(model.provider)}` : ""}${model.loaded ? "" : ", not loaded"}`;
}

function memoryText({ memory }: ContextStatus): string {
  const used = shortMemory(memory);
  if (!memory || !used) return "not known";
  return memory.available === null ? used : `${used}, ${size(memory.available)} free`;
}

function cacheText({ kvCache, autoSize }: ContextStatus): string {
  const cache = kvCache.type
    ? `${size(kvCache.bytes)}, ${kvCache.type}${CACHE_KNOWN[kvCache.typeSource]}`
    : "not known";
  return `${cache}; the size ${autoSize ? "follows memory" : "is kept"}`;
}

function messagesText({ usage }: ContextStatus): string {
  const turns =
    usage.turnsLeft === null ? "" : `, about ${counted(usage.turnsLeft, "turn")} until room is made`;
  return `${grouped(usage.messages)} in the window${turns}`;
}
