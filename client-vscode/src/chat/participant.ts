// `@ullage`: the conversation that is kept for this workspace, inside VS Code's chat view.
import * as vscode from "vscode";
import type { Connection } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import { Failure } from "../failures.ts";
import type { ChatResult, Context, EventKind, Partial } from "../protocol.ts";
import { type Attachment, written } from "./attachments.ts";
import { type Followup, followups, lineOf, RETRY, remedyFor, sentenceFor } from "./lines.ts";
import type { Precedence } from "./precedence.ts";

const ID = "ullage.context";
const TAKE_OVER = "ullage.takeOver";

/** Characters of attachments for each token of the window: about half of it. */
const ATTACHED_PER_TOKEN = 2;
const UNKNOWN_WINDOW = 4096;

const HAPPENING: Readonly<{ [kind in EventKind]?: string }> = {
  preOverflow: "The window is nearly full: room is made…",
  compressed: "The conversation was compressed.",
  trimmed: "The oldest turns left the window; they stay in the history.",
};

/** A question as the chat view is opened with it. */
interface Again {
  readonly query: string;
  readonly attachFiles: readonly (vscode.Uri | { readonly uri: vscode.Uri; readonly range: vscode.Range })[];
}

interface Result extends vscode.ChatResult {
  readonly metadata: { readonly followups: readonly Followup[] };
}

export class Participant implements vscode.Disposable {
  readonly #connection: Connection;
  readonly #contexts: Contexts;
  readonly #precedence: Precedence;
  readonly #subscriptions: vscode.Disposable;

  constructor(connection: Connection, contexts: Contexts, precedence: Precedence, extensionUri: vscode.Uri) {
    this.#connection = connection;
    this.#contexts = contexts;
    this.#precedence = precedence;
    const participant = vscode.chat.createChatParticipant(ID, (request, history, stream, token) =>
      this.#handle(request, history, stream, token),
    );
    participant.iconPath = vscode.Uri.joinPath(extensionUri, "media", "icon.png");
    participant.followupProvider = { provideFollowups: ({ metadata }) => [...(metadata?.followups ?? [])] };
    const takeOver = vscode.commands.registerCommand(TAKE_OVER, (context: Context, again: Again) =>
      this.#takeOver(context, again),
    );
    this.#subscriptions = vscode.Disposable.from(participant, takeOver);
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  async #handle(
    request: vscode.ChatRequest,
    { history }: vscode.ChatContext,
    stream: vscode.ChatResponseStream,
    token: vscode.CancellationToken,
  ): Promise<Result> {
    let context: Context | undefined;
    try {
      const { command, prompt } = request;
      if (command === "help")
        stream.markdown("After `@ullage` each of these is `/name`, without `/context`.\n\n");
      context = await this.#contexts.ensure();
      if (command && command !== RETRY) return await this.#command(context, command, prompt, stream, token);
      if (!history.length && context.usage.messages) stream.progress(goingOn(context));
      const references = request.references.filter(({ id }) => isMeant(id, history.length === 0));
      const text = command === RETRY ? "" : await this.#question({ prompt, references }, context, stream);
      return await this.#chat(context, text, stream, token);
    } catch (error) {
      return this.#failed(Failure.of(error), request, context, stream);
    }
  }

  async #command(
    { id: contextId }: Context,
    command: string,
    prompt: string,
    stream: vscode.ChatResponseStream,
    token: vscode.CancellationToken,
  ): Promise<Result> {
    if (command === "compress") stream.progress("Compressing…");
    const params = { contextId, line: lineOf(command, prompt) };
    const { markdown, data } = await this.#connection.request("context/command", params, token);
    stream.markdown(markdown);
    return { metadata: { followups: followups(command, prompt, data) } };
  }

  /** Without a text it answers what is pending. */
  async #chat(
    { id: contextId }: Context,
    text: string,
    stream: vscode.ChatResponseStream,
    token: vscode.CancellationToken,
  ): Promise<Result> {
    const events = this.#connection.on("context/event", ({ kind, contextId: of }) => {
      const happening = of === contextId ? HAPPENING[kind] : undefined;
      if (happening) stream.progress(happening);
    });
    let thinks = false;
    const take = ({ delta, reasoning }: Partial) => {
      if (reasoning && !thinks) stream.progress("Thinking…");
      thinks ||= Boolean(reasoning);
      if (delta) stream.markdown(delta);
    };
    try {
      const params = { contextId, ...(text ? { text } : {}) };
      const asking = () => this.#connection.stream("context/chat", params, take, token);
      return ended(await this.#precedence.question(asking), stream);
    } finally {
      events.dispose();
    }
  }

  async #question(
    { prompt, references }: Pick<vscode.ChatRequest, "prompt" | "references">,
    context: Context,
    stream: vscode.ChatResponseStream,
  ): Promise<string> {
    const attachments = (await Promise.all(references.map((each) => attachmentOf(each, stream)))).flat();
    if (!prompt.trim() && attachments.length)
      stream.progress(
        "Nothing is asked about what is attached, so what still waits for an answer is answered.",
      );
    if (!prompt.trim() || !attachments.length) return prompt.trim();
    const { text, shortened } = written(
      attachments,
      (context.usage.limit ?? UNKNOWN_WINDOW) * ATTACHED_PER_TOKEN,
    );
    if (shortened.length)
      stream.progress(`Too long for the window, so only its beginning is sent: ${shortened.join(", ")}`);
    return `${text}\n\n${prompt.trim()}`;
  }

  #failed(
    failure: Failure,
    { command, prompt, references }: vscode.ChatRequest,
    context: Context | undefined,
    stream: vscode.ChatResponseStream,
  ): Result {
    const metadata = { followups: [] };
    if (failure.kind === "cancelled") return { metadata };
    if (context) this.#contexts.failed(context.id, failure);
    const query = `@ullage ${command ? `/${command} ` : ""}${prompt}`;
    const again: Again = { query, attachFiles: references.flatMap(({ value }) => fileOf(value)) };
    const takeOver = context && { title: "Take Over", command: TAKE_OVER, arguments: [context, again] };
    const remedy = remedyFor(failure, takeOver);
    if (remedy) stream.button(remedy);
    return { errorDetails: { message: sentenceFor(failure) }, metadata };
  }

  /** From another window or terminal that writes this context; what was asked is asked again. */
  async #takeOver({ workspaceUri, name }: Context, again: Again): Promise<void> {
    await this.#connection.request("context/open", { workspaceUri, name, takeOver: true });
    await vscode.commands.executeCommand("workbench.action.chat.open", again);
  }
}

function fileOf(value: unknown): Again["attachFiles"] {
  if (value instanceof vscode.Location) return [{ uri: value.uri, range: value.range }];
  return value instanceof vscode.Uri ? [value] : [];
}

function goingOn({ name, usage }: Context): string {
  return `Going on in “${name}”: ${usage.messages} message${usage.messages === 1 ? "" : "s"} so far`;
}

function ended({ compressed, stopReason }: ChatResult, stream: vscode.ChatResponseStream): Result {
  const remarks: string[] = [];
  if (compressed) {
    const [before, after] = [compressed.originalTokens, compressed.compressedTokens].map((n) =>
      n.toLocaleString("en-GB"),
    );
    remarks.push(`Before this answer the conversation was compressed from ${before} to ${after} tokens.`);
  }
  if (stopReason === "length")
    remarks.push("The answer ends here because the window is full. Make room and ask on.");
  if (remarks.length) stream.markdown(`\n\n> *${remarks.join(" ")}*`);
  const next = compressed ? "compress" : stopReason === "length" ? "stats" : "";
  return { metadata: { followups: followups(next, "", undefined) } };
}

/** What VS Code adds by itself: its list of agents and skills is for agents, and a folder's instructions stay in the
 * conversation that is kept, so that once is enough. */
function isMeant(id: string, isFirst: boolean): boolean {
  return id !== "vscode.customizations.index" && (isFirst || !id.startsWith("vscode.instructions."));
}

/** None where it can't be read as text, which the person is told. */
async function attachmentOf(
  { value }: vscode.ChatPromptReference,
  stream: vscode.ChatResponseStream,
): Promise<Attachment[]> {
  if (typeof value === "string") return [{ name: "Attached", text: value }];
  const [uri, range] = value instanceof vscode.Location ? [value.uri, value.range] : [value, undefined];
  if (!(uri instanceof vscode.Uri)) {
    stream.progress("One attachment is no text and is left out.");
    return [];
  }
  const path = vscode.workspace.asRelativePath(uri);
  try {
    const document = await vscode.workspace.openTextDocument(uri);
    const lines = range ? `, lines ${range.start.line + 1} to ${range.end.line + 1}` : "";
    return [{ name: path + lines, text: document.getText(range), language: document.languageId }];
  } catch {
    stream.progress(`${path} can't be read as text and is left out.`);
    return [];
  }
}
