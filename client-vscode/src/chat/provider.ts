// The models of the servers that answer, for VS Code's own chat and for every extension that asks for a language model.
import * as vscode from "vscode";
import type { Connection } from "../connection.ts";
import type { Contexts } from "../contexts.ts";
import { Failure, tell } from "../failures.ts";
import { log } from "../log.ts";
import type { EventKind } from "../protocol.ts";
import { collected, complete, isLargeAgent, type Question, type Sink, tooLarge } from "./completion.ts";
import { chatOptions, newMessages, type RequestMessage, toolsOf, Unsupported } from "./messages.ts";
import type { Information } from "./modelInformation.ts";
import { ModelList } from "./modelList.ts";
import type { Precedence } from "./precedence.ts";
import { madeSmall } from "./smallAgents.ts";
import { TokenCounts } from "./tokenCounts.ts";
import { WindowChoices } from "./windowChoices.ts";

/** After these the models, their sizes or the way they are counted may be others. */
const CHANGES: EventKind[] = ["modelChanged", "modelUnloaded", "resized"];

/** Fields that arrive with a request though they are missing in the typed API. */
interface Untyped {
  readonly modelConfiguration?: { readonly contextSize?: unknown };
  readonly requestInitiator?: unknown;
}

export class Provider implements vscode.LanguageModelChatProvider<Information>, vscode.Disposable {
  readonly #connection: Connection;
  readonly #list: ModelList;
  readonly #counts: TokenCounts;
  readonly #choices: WindowChoices;
  readonly #precedence: Precedence;
  /** Conversations in which the person knows that old turns are left out. */
  readonly #told = new Set<string>();
  /** And those in which they were offered a way out where that does not help. */
  readonly #helped = new Set<string>();
  readonly #answered = new vscode.EventEmitter<Information>();
  /** A chat view's question was answered. */
  readonly onDidAnswer = this.#answered.event;
  readonly onDidChangeLanguageModelChatInformation: vscode.Event<void>;
  readonly #subscriptions: vscode.Disposable;

  constructor(connection: Connection, contexts: Contexts, precedence: Precedence) {
    this.#connection = connection;
    this.#precedence = precedence;
    this.#list = new ModelList(connection);
    this.#choices = new WindowChoices(connection, contexts);
    this.#counts = new TokenCounts(async (model, texts) => {
      if (connection.health.state !== "running") return [];
      return (await connection.request("context/countTokens", { model, texts })).counts;
    });
    this.onDidChangeLanguageModelChatInformation = this.#list.onDidChange;
    this.#subscriptions = vscode.Disposable.from(
      this.#list,
      this.#answered,
      connection.onDidChangeHealth(() => this.#changed()),
      connection.on("context/event", ({ kind }) => CHANGES.includes(kind) && this.#changed()),
      connection.on("context/statusChanged", (status) => this.#list.compare(status)),
      vscode.window.onDidChangeWindowState(({ focused }) => focused && this.#list.lookAgain()),
    );
  }

  provideLanguageModelChatInformation(): Promise<Information[]> {
    return this.#list.read();
  }

  async provideLanguageModelChatResponse(
    model: Information,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions & Untyped,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const id = options.modelOptions?._conversationId;
    const conversation = typeof id === "string" ? id : undefined;
    try {
      const asked = madeSmall({ messages: newMessages(messages), tools: toolsOf(options.tools) });
      const isRequired = options.toolMode === vscode.LanguageModelChatToolMode.Required;
      const question: Question = {
        model: model.id,
        messages: asked.messages,
        options: chatOptions(asked.tools, isRequired, options.modelOptions),
        conversation,
      };
      const sink = sinkOf(progress);
      if (isChore(question, options.requestInitiator)) return await this.#chore(question, sink, token);
      await this.#precedence.question(async () => {
        const size = conversation && options.modelConfiguration?.contextSize;
        const remark = await this.#choices.apply(model, size);
        if (remark) sink.text(remark);
        await this.#complete(question, sink, token);
      });
      if (conversation) this.#answered.fire(model);
    } catch (error) {
      throw this.#shown(error, options.tools?.length ?? 0, conversation);
    }
  }

  provideTokenCount(
    model: Information,
    text: string | vscode.LanguageModelChatRequestMessage,
  ): Promise<number> {
    return this.#counts.count(model.id, typeof text === "string" ? text : wordsOf(text));
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #complete(question: Question, sink: Sink, token: vscode.CancellationToken): Promise<void> {
    return complete(
      (params, onPiece) => this.#connection.stream("context/complete", params, onPiece, token),
      question,
      this.#told,
      sink,
    );
  }

  /** Told as a whole, since it may have to be begun anew. */
  async #chore(question: Question, sink: Sink, token: vscode.CancellationToken): Promise<void> {
    const pieces = await this.#precedence.chore(async (signal) => {
      const both = new vscode.CancellationTokenSource();
      const cancelling = token.onCancellationRequested(() => both.cancel());
      signal.addEventListener("abort", () => both.cancel());
      try {
        return await collected((each) => this.#complete(question, each, both.token));
      } finally {
        cancelling.dispose();
        both.dispose();
      }
    });
    for (const piece of pieces) piece(sink);
  }

  #changed(): void {
    this.#counts.forget();
    this.#list.changed();
  }

  /** VS Code shows an error's stack, where it has one, to the person. */
  #shown(error: unknown, tools: number, conversation: string | undefined): Error {
    const shown = new Error(this.#sentence(error, tools, conversation));
    shown.stack = "";
    return shown;
  }

  #sentence(error: unknown, tools: number, conversation: string | undefined): string {
    if (error instanceof Unsupported) return error.message;
    const failure = Failure.of(error);
    const sentence = tooLarge(failure, tools);
    if (sentence && conversation && !this.#helped.has(conversation)) {
      this.#helped.add(conversation);
      void tell({ message: DOES_NOT_FIT, remedies: remedies(tools) });
    }
    if (failure.kind === "internal") log.error("An answer failed:", error);
    return sentence ?? failure.message;
  }
}

/** What VS Code itself asks for beside every chat: titles, words to show while a person waits, commit messages. */
function isChore({ conversation, options }: Question, initiator: unknown): boolean {
  return conversation === undefined && !options.tools && /^(core$|github\.copilot)/.test(String(initiator));
}

const DOES_NOT_FIT = "The question does not fit the model's window with all that VS Code sends along.";

/** What VS Code shows of an answer has no links to commands: they are offered beside it. */
function remedies(tools: number) {
  const size = { title: "Choose Size", command: "ullage.setSize" };
  if (!isLargeAgent(tools)) return [size];
  const agent = {
    title: "Use Ullage's Agent",
    command: "workbench.action.chat.open",
    arguments: [{ mode: "Ullage" }],
  };
  return [agent, size];
}

function sinkOf(progress: vscode.Progress<vscode.LanguageModelResponsePart>): Sink {
  return {
    text: (value) => progress.report(new vscode.LanguageModelTextPart(value)),
    call: (id, name, input) => progress.report(new vscode.LanguageModelToolCallPart(id, name, input)),
    usage: (usage) => progress.report(vscode.LanguageModelDataPart.json(usage, "usage")),
  };
}

/** All of a message that a model reads. */
function wordsOf(message: RequestMessage): string {
  return newMessages([message], false)
    .map(({ content, toolCalls }) =>
      [content, ...(toolCalls ?? []).map((call) => call.name + call.arguments)].join("\n"),
    )
    .join("\n");
}
