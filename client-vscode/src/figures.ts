// Figures as short texts for people: pure, and the only place where the client writes numbers itself.
import type { ContextStatus, integer, SnapshotInfo, Usage } from "./protocol.ts";

const FILLED: [below: number, glyph: string][] = [
  [0.1, "○"],
  [0.5, "◔"],
  [0.75, "◑"],
  [0.95, "◕"],
];

/** A circle as full as the window; empty where the window's size is not known. */
export function glyph(fraction: number | null): string {
  return FILLED.find(([below]) => (fraction ?? 0) < below)?.[1] ?? "●";
}

/** `▰▰▰▱▱▱`, one cell for each begun share of the whole per cent. */
export function bar(fraction: number | null, width = 6): string {
  const filled = Math.ceil((Math.round(Math.min(fraction ?? 0, 1) * 100) / 100) * width);
  return "▰".repeat(filled) + "▱".repeat(width - filled);
}

export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

export function grouped(number: number): string {
  return number.toLocaleString("en-GB");
}

export function counted(number: number, noun: string): string {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * `12.5k/32k`. Windows are named in steps of 1,024 tokens, so the tokens in them are, too: else a full window would
 * show more than it holds. A window that is a round decimal number keeps its name.
 */
export function shortWindow(tokens: integer, limit: integer | null): string {
  if (!limit) return `${short(tokens, 1000)} tokens`;
  const unit = limit % 1000 === 0 ? 1000 : 1024;
  return `${short(tokens, unit)}/${short(limit, unit)}`;
}

/** `12,847 of 32,768 tokens (39 %)`, for a sentence. */
export function filled({ tokens, limit, fraction }: Usage): string {
  if (!limit) return counted(tokens, "token");
  return `${grouped(tokens)} of ${grouped(limit)} tokens (${percent(fraction ?? 0)})`;
}

function short(tokens: number, unit: number): string {
  if (tokens < unit) return `${tokens}`;
  const [amount, suffix] = tokens < unit * unit ? [tokens / unit, "k"] : [tokens / unit / unit, "M"];
  return `${Number(amount.toFixed(1))}${suffix}`;
}

/** `6.2/8 GB` of a memory, in units of 1,024; undefined where it can't be told. */
export function shortMemory(memory: ContextStatus["memory"]): string | undefined {
  if (!memory || memory.used === null || !memory.total) return undefined;
  const inGigabytes = memory.total >= 2 ** 30;
  const [unit, name] = inGigabytes ? [2 ** 30, "GB"] : [2 ** 20, "MB"];
  const amount = (bytes: number) => Number((bytes / unit).toFixed(inGigabytes ? 1 : 0));
  return `${amount(memory.used)}/${amount(memory.total)} ${name}`;
}

/** Bytes in the largest unit that leaves a figure of at least 1. */
export function size(bytes: number | null): string {
  if (bytes === null) return "unknown";
  const names = ["bytes", "KB", "MB", "GB", "TB"];
  let [amount, unit] = [bytes, 0];
  for (; amount >= 1024 && unit < names.length - 1; unit++) amount /= 1024;
  return unit === 0 ? `${grouped(bytes)} bytes` : `${amount.toFixed(1)} ${names[unit]}`;
}

/** What a status bar has room for. */
export function shortStatus(status: ContextStatus): string {
  const { tokens, limit, fraction } = status.usage;
  return [`${glyph(fraction)} ${shortWindow(tokens, limit)}`, shortMemory(status.memory)]
    .filter(Boolean)
    .join(" · ");
}

/** The same for those who hear it. */
export function spokenStatus(status: ContextStatus): string {
  const { tokens, limit, fraction } = status.usage;
  const window = limit ? `${grouped(tokens)} of ${grouped(limit)} tokens` : `${grouped(tokens)} tokens`;
  const share = fraction === null ? [] : [`${Math.round(fraction * 100)} per cent full`];
  const memory = shortMemory(status.memory);
  return ["Ullage", window, ...share, ...(memory ? [`memory ${memory.replace("/", " of ")}`] : [])].join(
    ", ",
  );
}

/** `8192`, `8,192`, `8k` or `16K` as tokens, k being 1,024; undefined for what is none of these. */
export function tokensOf(text: string): number | undefined {
  const found = /^(\d{1,3}(?:,\d{3})+|\d{1,12}(?:\.\d{1,6})?)\s?([km]?)$/i.exec(text.trim());
  if (!found) return undefined;
  const factor = { "": 1, k: 2 ** 10, m: 2 ** 20 }[found[2]?.toLowerCase() ?? ""] ?? 1;
  const tokens = Number(found[1]?.replaceAll(",", "")) * factor;
  return Number.isInteger(tokens) && tokens >= 1 && tokens < 2 ** 31 ? tokens : undefined;
}

/** A moment in the person's own time zone and manner of writing. */
export function moment(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

const TRIGGERS = { manual: "by hand", threshold: "automatic", emergency: "emergency" } as const;

export function snapshotFigures(snapshot: SnapshotInfo): string {
  return `${counted(snapshot.tokens, "token")} · ${TRIGGERS[snapshot.trigger]}`;
}

/** Text on one line, at most so long. */
export function oneLine(text: string, longest = 80): string {
  const line = text
    .slice(0, longest * 8)
    .replace(/\s+/g, " ")
    .trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1)}…`;
}

/** Foreign text that stays text in Markdown. */
export function escaped(text: string): string {
  return oneLine(text, 200).replace(/[\\`*_[\]<>|~&!#$()]/g, "\\$&");
}
