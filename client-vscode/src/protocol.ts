// Written by `make format` from server/ullage/lsp; change the types there.

/** A whole number of at most 2^53 - 1 in size. */
export type integer = number;

export interface OpenParams {
  workspaceUri: string;
  name?: string;  // "main" when left out
  mode?: string;
  model?: string;
  activate?: boolean;  // true when left out
  takeOver?: boolean;  // false when left out
}

// An empty mode or system prompt takes the present one away.
export interface UpdateParams {
  contextId: string;
  name?: string;
  mode?: string;
  workspaceUri?: string;
  systemPrompt?: string;
}

export interface SwitchParams {
  contextId: string;
  preserveState?: boolean;  // true when left out
}

export interface ContextParams {
  contextId: string;
}

// Without an id: the active context.
export interface OptionalContextParams {
  contextId?: string;
}

export interface AppendParams {
  contextId: string;
  messages: NewMessage[];
}

// A message as a client gives it. `id`, a ULID, makes a retry idempotent; "developer" is read as "system".
export interface NewMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content: string;
  name?: string;
  toolCalls?: ToolCall[];
  toolCallId?: string;
  pinned?: boolean;  // false when left out
  id?: string;
}

// A call that the model asked for; `arguments` is the JSON text as the model wrote it, valid or not.
export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export interface MessagesParams {
  contextId: string;
  view?: "window" | "history";  // "window" when left out
  before?: string;
  limit?: integer;  // 1 to 1,000; 100 when left out
}

export interface PinParams {
  contextId: string;
  messageId: string;
  pinned: boolean;
}

// Without `text` it answers what is pending: a retry, or a tool's result.
export interface ChatParams {
  contextId: string;
  text?: string;
  options?: ChatOptions;  // {} when left out
  partialResultToken?: integer | string;
  workDoneToken?: integer | string;
}

// What a request may ask of the sampler, and the tools that the model may call.
export interface ChatOptions {
  maxTokens?: integer;  // 1 to 2,147,483,647
  temperature?: number;  // 0 to 100
  topP?: number;  // 0 to 1
  stop?: string[];
  seed?: integer;  // -9,007,199,254,740,991 to 9,007,199,254,740,991
  tools?: Tool[];
  toolChoice?: "auto" | "none" | "required";
}

export interface Tool {
  name: string;
  description: string;
  parameters: object;
}

export interface CompleteParams {
  messages: NewMessage[];
  contextId?: string;
  model?: string;
  fit?: boolean;  // true when left out
  options?: ChatOptions;  // {} when left out
  partialResultToken?: integer | string;
}

export interface UndoParams {
  contextId: string;
  operationId?: string;
}

// Without a strategy: that of the settings.
export interface CompressParams {
  contextId: string;
  strategy?: Strategy;
  workDoneToken?: integer | string;
}

export type Strategy = "truncate" | "summarize" | "hybrid";

export interface EstimateCompressionParams {
  contextId: string;
  strategy?: Strategy;
}

export interface ForgetParams {
  contextId: string;
  messageId: string;
}

export interface ExportParams {
  contextId: string;
  format: "json" | "markdown";
}

export interface ImportParams {
  contextId: string;
  format: "json" | "markdown";
  text: string;
}

// Without ids: every context.
export interface SearchParams {
  query: string;
  contextIds?: string[];
  limit?: integer;  // 1 to 1,000; 50 when left out
}

// `summary` is what the person will know it by; without one it is the beginning of what was asked last.
export interface CreateSnapshotParams {
  contextId: string;
  summary?: string;
}

// Without an id: of every context.
export interface ListSnapshotsParams {
  contextId?: string;
}

export interface SnapshotMessagesParams {
  snapshotId: string;
  limit?: integer;  // 1 to 1,000; 100 when left out
}

// Without a context: the one that the snapshot was made of.
export interface RestoreParams {
  snapshotId: string;
  contextId?: string;
}

export interface SnapshotParams {
  snapshotId: string;
}

// `line` is what a person types, such as `/context size 8192`. Without a context: the active one.
export interface CommandParams {
  line: string;
  contextId?: string;
}

// `before` is the id of an operation; several contexts merge in time order, the newest `limit` are answered.
export interface HistoryParams {
  contextIds?: string[];
  limit?: integer;  // 1 to 1,000; 100 when left out
  before?: string;
}

// `texts` are counted as plain text, special-token text not parsed; `messages` as they would be sent.
export interface CountTokensParams {
  texts?: string[];
  messages?: NewMessage[];
  model?: string;
  contextId?: string;
}

export interface ResizeParams {
  contextId: string;
  tokens: integer;  // 1 to 2,147,483,647
}

export interface AutoSizeParams {
  contextId: string;
  enabled: boolean;
}

// Without a model: the context's, or the active context's. `asMuchAsFits` asks for the largest size that memory,
// model and the person's maximum allow, whatever was chosen or is set as target.
export interface SizingParams {
  contextId?: string;
  model?: string;
  cacheType?: CacheType;
  asMuchAsFits?: boolean;  // false when left out
}

export type CacheType = "f16" | "q8_0" | "q4_0" | "q5_0" | "q5_1" | "q4_1" | "bf16" | "f32" | "iq4_nl";

// `metadata` are GGUF keys as in a file's header or in Ollama's `modelInfo`.
export interface EstimateParams {
  metadata: object;
  contextTokens: integer;  // 1 to 2,147,483,647
  slots?: integer;  // 1 to 256; 1 when left out
  cacheTypeK?: CacheType;  // "f16" when left out
  cacheTypeV?: CacheType;  // "f16" when left out
  microBatch?: integer;  // 1 to 1,048,576; 512 when left out
  flashAttention?: boolean;  // true when left out
  unifiedCache?: boolean;  // false when left out
  fullSlidingWindowCache?: boolean;  // false when left out
  rollbackCopies?: integer;  // 0 to 256; 0 when left out
}

// `tokens` are additional ones.
export interface CanAllocateParams {
  tokens: integer;  // 0 to 2,147,483,647
  contextId?: string;
}

export interface UnloadParams {
  model: string;
}

export interface SelectModelParams {
  contextId: string;
  model: string;
}

// One conversation context. Its id survives renames, moves from folder to multi-root, and restarts; `active` is
// said per connection.
export interface Context {
  id: string;
  name: string;
  workspaceUri: string;
  mode: string | null;
  model: string | null;
  priority: Priority;
  createdAt: integer;
  lastUsedAt: integer;
  usage: Usage;
}

export type Priority = "active" | "ready" | "standby" | "dormant";

// The window in the form in which it is sent, template and tool definitions included. `limit` is what the model
// server has allocated, `null` where it can't be known; `reserved` is kept for the answer. `fraction` = tokens /
// limit is what is shown; `pressure` = tokens / (limit - reserved) is what thresholds go by, and may exceed 1.
// `turnsLeft` counts turns until the compression threshold. `source` is the least exact one that took part in the
// count.
export interface Usage {
  tokens: integer;
  limit: integer | null;
  reserved: integer;
  fraction: number | null;
  pressure: number | null;
  messages: integer;
  turnsLeft: integer | null;
  source: CountSource;
}

export type CountSource = "provider" | "vocabulary" | "tiktoken" | "estimate";

export interface ContextList {
  contexts: Context[];
}

export interface SwitchResult {
  context: Context;
  previousContextId: string | null;
  restoredFrom: "memory" | "kv-slot" | "store";
  durationMs: number;
}

// Everything a status bar shows of a context; `compressing` while room is being made in its window, `text` is one
// short line for it.
export interface ContextStatus {
  context: Context;
  model: ModelState;
  usage: Usage;
  memory: MemoryReading | null;
  kvCache: KvCacheState;
  snapshots: integer;
  autoSize: boolean;
  autoCompress: AutoCompress;
  compressing: boolean;
  warning: WarningLevel;
  text: string;
}

export interface ModelState {
  name: string | null;
  provider: string | null;
  loaded: boolean;
}

// All devices in sum, in bytes; `modelLoaded` is what processes of model servers hold of it. `at` is in
// milliseconds since the epoch.
export interface MemoryReading {
  kind: "nvidia" | "amd" | "apple" | "intel" | "cpu";
  total: integer | null;
  used: integer | null;
  available: integer | null;
  modelLoaded: integer | null;
  devices: DeviceReading[];
  at: integer;
}

// One device's memory in bytes; `null`: it can't be told.
export interface DeviceReading {
  name: string;
  total: integer | null;
  used: integer | null;
  available: integer | null;
}

// `typeSource` says whether we chose the type, measured it, took it from settings, or assume it.
export interface KvCacheState {
  type: CacheType | null;
  typeSource: "ours" | "measured" | "settings" | "assumed";
  bytes: integer | null;
}

export interface AutoCompress {
  enabled: boolean;
  threshold: number;
}

export type WarningLevel = "none" | "high" | "critical";

export interface ContextStats extends ContextStatus {
  weightsBytes: integer | null;
  tokensByRole: TokensByRole;
  compressions: CompressionRecord[];
  snapshotBytes: integer;
  countCache: CountCacheStats;
  prompt: PromptStats;
  timings: TimingStats;
  settings: SettingValue[];
  memoryHistory: MemorySample[];
}

export interface TokensByRole {
  system: integer;
  user: integer;
  assistant: integer;
  tool: integer;
}

export interface CompressionRecord {
  at: integer;
  strategy: Strategy;
  ratio: number;
}

export interface CountCacheStats {
  hits: integer;
  misses: integer;
}

// Prompt tokens that the model server evaluated and took from its cache, in sum over this process's requests.
export interface PromptStats {
  evaluated: integer;
  reused: integer;
}

// Of the last answer in this process; `null` before the first.
export interface TimingStats {
  firstTokenMs: number | null;
  totalMs: number | null;
  tokensPerSecond: number | null;
}

// One leaf of the resolved tree and the source that it came from.
export interface SettingValue {
  path: string;
  value: unknown;
  source: SettingSource;
}

export type SettingSource = "default" | "user file" | "workspace file" | "editor" | "environment" | "command";

export interface MemorySample {
  at: integer;
  used: integer;
  total: integer;
}

export interface Appended {
  messages: MessageView[];
  usage: Usage;
}

// A message with what the window knows of it: whether it is pinned, and what it costs.
export interface MessageView {
  id: string;
  role: Role;
  content: string;
  createdAt: integer;
  tokens: integer;
  source: CountSource;
  name?: string;
  toolCalls?: ToolCall[];  // [] when left out
  toolCallId?: string;
  pinned?: boolean;  // false when left out
  reasoning?: string;
  summaryOf?: string[];
}

export type Role = "system" | "user" | "assistant" | "tool";

// Ascending; `hasMore` says that older ones exist.
export interface MessagePage {
  messages: MessageView[];
  hasMore: boolean;
}

export interface ChatResult {
  message: MessageView;
  usage: Usage;
  timing: Timing;
  compressed: CompressionResult | null;
  fitted: Fitted | null;
  stopReason: StopReason;
}

// `promptTokens` and `reusedTokens` are the model server's own figures.
export interface Timing {
  firstTokenMs: number | null;
  totalMs: number;
  promptTokens: integer | null;
  reusedTokens: integer | null;
  completionTokens: integer;
}

// What a compression came to, in the figures of `CompressionEstimate`. `preserved` are the ids of the messages that
// stay as they were said, `reducedBy` the means that were used, in their order.
export interface CompressionResult {
  strategy: Strategy;
  originalTokens: integer;
  compressedTokens: integer;
  ratio: number;
  summary: MessageView | null;
  preserved: string[];
  removed: integer;
  operationId: string;
  reducedBy: ("toolResults" | "summary" | "truncation")[];
}

// What `complete` left out of a foreign history: turns dropped, tool results masked or shortened, tokens.
export interface Fitted {
  dropped: integer;
  masked: integer;
  before: integer;
  after: integer;
}

export type StopReason = "stop" | "length" | "cancelled" | "toolCalls";

export interface Cleared {
  usage: Usage;
}

export interface Undone {
  undone: Operation;
  usage: Usage;
}

// One line of the log. `at` is in milliseconds since the epoch; `detail` is what clients may see of it.
export interface Operation {
  id: string;
  contextId: string;
  kind: OperationKind;
  at: integer;
  origin: Origin;
  detail: object;
}

export type OperationKind = "open" | "update" | "append" | "chat" | "pin" | "unpin" | "clear" | "trim" | "compress" |
  "restore" | "undo" | "selectModel" | "rename" | "close" | "import" | "forget" | "resize" | "snapshot";

export type Origin = "client" | "server" | "guard";

// What a compression would come to. Token figures are of the whole window, as in `Usage.tokens`; `ratio` is
// compressed / original, `removed` counts messages that would leave the window.
export interface CompressionEstimate {
  strategy: Strategy;
  originalTokens: integer;
  compressedTokens: integer;
  ratio: number;
  removed: integer;
  needsModel: boolean;
}

export interface Exported {
  text: string;
}

export interface Imported {
  messages: integer;
  usage: Usage;
}

export interface SearchResult {
  hits: SearchHit[];
}

// `excerpt` is the piece of the message around the words that were found, those between ** and **.
export interface SearchHit {
  message: MessageView;
  contextId: string;
  excerpt: string;
}

// `tokens` and `messages` are the window's when the snapshot was made; `bytes` is the file's size.
export interface SnapshotInfo {
  id: string;
  contextId: string;
  createdAt: integer;
  tokens: integer;
  messages: integer;
  summary: string;
  trigger: SnapshotTrigger;
  bytes: integer;
  metadata: SnapshotMetadata;
}

export type SnapshotTrigger = "manual" | "threshold" | "emergency";

// `contextSize` is the allocated window in tokens, 0 where it was not known; `compressionRatio` that of the
// compression before it, 1 where there was none.
export interface SnapshotMetadata {
  model: string | null;
  contextSize: integer;
  compressionRatio: number;
}

export interface SnapshotPage {
  snapshots: SnapshotInfo[];
  unreadable: UnreadableSnapshot[];
}

// A file that could not be read: its name in the storage folder, and why, for a person.
export interface UnreadableSnapshot {
  file: string;
  reason: string;
}

export interface Restored {
  usage: Usage;
  context: Context;
}

export interface SnapshotVerdict {
  ok: boolean;
  reason: string | null;
}

// `data` is the result of the request that the line stands for; `null` where it stands for none.
export interface CommandResult {
  markdown: string;
  data: unknown;
}

export interface OperationPage {
  operations: Operation[];
}

export interface Counts {
  counts: integer[];
  total: integer;
  source: CountSource;
}

export interface ModelList {
  models: Model[];
}

export interface Model {
  name: string;
  provider: string;
  loaded: boolean;
  contextLength: integer | null;
  allocatedContext: integer | null;
  bytes: integer | null;
}

// The size, what limits it, and the figures behind it, in tokens and bytes. `weightsBytes` are still to be loaded
// (`null`: not known of every memory). `availableBytes` are free in all memories together, `reserveBytes` have to
// stay free in every one of them. `bytesPerToken` is what one more token of each conversation takes (of a split
// cache in all slots), `fixedBytes` are the parts of the cache beside full attention, see `CacheEstimate`.
// `computeBytes` are counted for the compute buffer in each memory at this size: as measured, else an upper bound.
export interface SizingReport {
  tokens: integer;
  target: integer;
  weightsBytes: integer | null;
  limitedBy: "target" | "memory" | "model" | "minimum" | "maximum" | "provider";
  availableBytes: integer | null;
  reserveBytes: integer;
  bytesPerToken: integer | null;
  fixedBytes: integer | null;
  computeBytes: integer | null;
  cacheType: CacheType;
  modelLimit: integer | null;
  reloaded: boolean;
  explanation: string;
}

// All in bytes. `kvBytes` are those of full layers and grow with the context, as do `indexerBytes`;
// `slidingWindowBytes` stop growing at the window, or never where the layout keeps the full window;
// `recurrentBytes` never grow. `bytesPerToken` is the slope of all that grows without end.
export interface CacheEstimate {
  kvBytes: integer;
  slidingWindowBytes: integer;
  recurrentBytes: integer;
  indexerBytes: integer;
  totalBytes: integer;
  bytesPerToken: integer;
}

// The answer to a question for room. `safeLimit` is in tokens, those in use included; `null`: unlimited, as far as
// anyone can tell. `reason` is a sentence for a person where it is not allowed.
export interface Allocation {
  allowed: boolean;
  safeLimit: integer | null;
  reason: string | null;
}

export interface Unloaded {
  freedBytes: integer | null;
}

export interface LowMemoryParams {
  reading: MemoryReading;
  threshold: integer;
}

export interface EventParams {
  kind: EventKind;
  contextId: string | null;
  at: integer;
  detail: object;
}

export type EventKind = "trimmed" | "compressed" | "cleared" | "restored" | "undone" | "snapshotCreated" | "preOverflow" |
  "resized" | "guardActed" | "truncatedByServer" | "switched" | "modelChanged" | "modelUnloaded" | "priorityChanged"
  | "storeDamaged" | "recovered";

// A piece of an answer as it streams; exactly one field is set.
export interface Partial {
  delta?: string;
  reasoning?: string;
  toolCall?: ToolCall;
}

/** Every request: what it takes and what it answers. */
export interface Requests {
  "context/open": { params: OpenParams; result: Context };
  "context/update": { params: UpdateParams; result: Context };
  "context/list": { params: Record<string, never>; result: ContextList };
  "context/switch": { params: SwitchParams; result: SwitchResult };
  "context/close": { params: ContextParams; result: Context };
  "context/delete": { params: ContextParams; result: null };
  "context/status": { params: OptionalContextParams; result: ContextStatus };
  "context/stats": { params: OptionalContextParams; result: ContextStats };
  "context/append": { params: AppendParams; result: Appended };
  "context/messages": { params: MessagesParams; result: MessagePage };
  "context/pin": { params: PinParams; result: MessageView };
  "context/chat": { params: ChatParams; result: ChatResult };
  "context/complete": { params: CompleteParams; result: ChatResult };
  "context/clear": { params: ContextParams; result: Cleared };
  "context/undo": { params: UndoParams; result: Undone };
  "context/compress": { params: CompressParams; result: CompressionResult };
  "context/estimateCompression": { params: EstimateCompressionParams; result: CompressionEstimate };
  "context/forget": { params: ForgetParams; result: null };
  "context/export": { params: ExportParams; result: Exported };
  "context/import": { params: ImportParams; result: Imported };
  "context/search": { params: SearchParams; result: SearchResult };
  "context/snapshot/create": { params: CreateSnapshotParams; result: SnapshotInfo };
  "context/snapshot/list": { params: ListSnapshotsParams; result: SnapshotPage };
  "context/snapshot/messages": { params: SnapshotMessagesParams; result: MessagePage };
  "context/snapshot/restore": { params: RestoreParams; result: Restored };
  "context/snapshot/delete": { params: SnapshotParams; result: null };
  "context/snapshot/verify": { params: SnapshotParams; result: SnapshotVerdict };
  "context/command": { params: CommandParams; result: CommandResult };
  "context/history": { params: HistoryParams; result: OperationPage };
  "context/countTokens": { params: CountTokensParams; result: Counts };
  "context/models": { params: Record<string, never>; result: ModelList };
  "context/resize": { params: ResizeParams; result: SizingReport };
  "context/autoSize": { params: AutoSizeParams; result: SizingReport };
  "context/sizing": { params: SizingParams; result: SizingReport };
  "context/estimateMemory": { params: EstimateParams; result: CacheEstimate };
  "context/memory": { params: Record<string, never>; result: MemoryReading };
  "context/canAllocate": { params: CanAllocateParams; result: Allocation };
  "context/model/unload": { params: UnloadParams; result: Unloaded };
  "context/model/select": { params: SelectModelParams; result: Context };
}

/** Every notification from the server, and what it tells. */
export interface Notifications {
  "context/statusChanged": ContextStatus;
  "context/lowMemory": LowMemoryParams;
  "context/event": EventParams;
}

/** Why a request was understood and not done: `data.kind` of an error. */
export type FailureKind =
  | "cannotReduce"
  | "contextBusy"
  | "contextOverflow"
  | "corruptSnapshot"
  | "insufficientMemory"
  | "internal"
  | "invalidArgument"
  | "modelUnavailable"
  | "notSupported"
  | "nothingToUndo"
  | "providerError"
  | "providerUnavailable"
  | "storeDamaged"
  | "storeFull"
  | "tooManyContexts"
  | "unknownContext"
  | "unknownMessage"
  | "unknownSnapshot";

/** The lines that a person can type after `/context`. */
export const LINES = [
  { name: "status", argument: "", purpose: "how full the window is, and what answers; also /context alone" },
  { name: "size", argument: "[tokens]", purpose: "give the model another size, such as 8192 or 8k; without one: what it is, and why" },
  { name: "auto", argument: "[on|off]", purpose: "let memory decide the size, or keep it; without a word: the other way round" },
  { name: "snapshot", argument: "[words]", purpose: "keep the window as it is, under these words" },
  { name: "restore", argument: "[id]", purpose: "bring a snapshot back, by number or id; without one: choose" },
  { name: "list", argument: "", purpose: "every context" },
  { name: "clear", argument: "", purpose: "empty the window but for the system prompt and pins; undo brings it back" },
  { name: "compress", argument: "[strategy]", purpose: "make room now: hybrid, summarize or truncate" },
  { name: "estimate", argument: "[strategy]", purpose: "what compress would come to; changes nothing" },
  { name: "stats", argument: "", purpose: "the figures behind the status" },
  { name: "undo", argument: "[id]", purpose: "take back the latest change of the window, or one of the history" },
  { name: "switch", argument: "[name]", purpose: "go on in another context; without a name: choose" },
  { name: "models", argument: "", purpose: "the models of every server that answers" },
  { name: "model", argument: "[name]", purpose: "choose the model of this context" },
  { name: "mode", argument: "[name]", purpose: "take on a persona of the settings, or off" },
  { name: "memory", argument: "", purpose: "what the hardware says of its memory" },
  { name: "messages", argument: "", purpose: "the newest messages of the window" },
  { name: "pin", argument: "[id]", purpose: "keep a message in the window; without an id the newest" },
  { name: "unpin", argument: "[id]", purpose: "let it go again" },
  { name: "history", argument: "", purpose: "what was done, in time order" },
  { name: "search", argument: "<words>", purpose: "everything ever said, in every context" },
  { name: "export", argument: "[markdown|json]", purpose: "the conversation, to be taken elsewhere" },
  { name: "forget", argument: "<id>", purpose: "erase one message everywhere; nothing brings it back" },
  { name: "help", argument: "", purpose: "this list" },
] as const;
