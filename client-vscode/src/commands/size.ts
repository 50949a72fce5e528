// How large the model's window is, and who decides it.
import * as vscode from "vscode";
import { counted, grouped, tokensOf } from "../figures.ts";
import type { CacheType, Context, SizingReport } from "../protocol.ts";
import { type Parts, say, within } from "./action.ts";

const CACHE_TYPES: CacheType[] = ["f16", "q8_0", "q4_0"];
const SMALLEST = 2048;
const CACHE_TYPE_SETTING = "ullage.context.kvQuantization";

interface Choice extends vscode.QuickPickItem {
  tokens?: number;
  cacheType?: CacheType;
}

const UNKNOWN: Choice = {
  label: "Not known: the most that fits",
  detail: "The model's architecture could not be read. Type a size: the server says whether it can have it.",
};

export const setSize = within(async (parts, context) => {
  const choices = await withProgress("Finding out what fits", () => choicesFor(parts, context));
  const chosen = await askForSize(choices);
  if (chosen?.cacheType) {
    await vscode.commands.executeCommand("workbench.action.openSettings", `@id:${CACHE_TYPE_SETTING}`);
  } else if (chosen?.tokens) {
    const { tokens } = chosen;
    const report = await withProgress(`Changing the size to ${grouped(tokens)} tokens`, () =>
      parts.connection.request("context/resize", { contextId: context.id, tokens }),
    );
    say(sizeText(report));
  }
});

export const autoSize = within(async ({ connection, contexts }, context) => {
  const enabled = !(contexts.statusOf(context.id)?.autoSize ?? false);
  const report = await connection.request("context/autoSize", { contextId: context.id, enabled });
  say(`${enabled ? "The size follows memory" : "The size stays as it is"} from now on. ${sizeText(report)}`);
});

async function choicesFor({ connection }: Parts, { id, usage }: Context): Promise<Choice[]> {
  const sizing = (more: { cacheType?: CacheType; asMuchAsFits?: boolean }) =>
    connection.request("context/sizing", { contextId: id, ...more });
  const [present, ...reports] = await Promise.all([
    sizing({}),
    ...CACHE_TYPES.map((cacheType) => sizing({ cacheType, asMuchAsFits: true })),
  ]);
  const known = reports.filter(({ bytesPerToken }) => bytesPerToken !== null); // of others nobody can say what fits
  const largest = known.find(({ cacheType }) => cacheType === present.cacheType)?.tokens;
  const sizes = [usage.limit ?? present.tokens, ...(largest === undefined ? [] : [largest])];
  for (let tokens = SMALLEST; tokens < (largest ?? 0); tokens *= 2) sizes.push(tokens);
  const offered = [...new Set(sizes)].filter((tokens) => tokens > 0).sort((a, b) => b - a);
  const remark = (tokens: number) => [
    tokens === usage.limit && "now",
    tokens === largest && "the most that fits",
  ];
  return [
    ...offered.map((tokens) => ({
      label: counted(tokens, "token"),
      description: remark(tokens).filter(Boolean).join(" · "),
      ...(tokens === usage.limit && { detail: capital(present.explanation) }),
      tokens,
    })),
    { label: "The most that fits, by cache type", kind: vscode.QuickPickItemKind.Separator },
    ...known.map((report) => cacheItem(report, report.cacheType === present.cacheType)),
    ...(known.length === 0 ? [UNKNOWN] : []),
  ];
}

function cacheItem({ cacheType, tokens, explanation }: SizingReport, isPresent: boolean): Choice {
  return {
    label: `${cacheType}: ${counted(tokens, "token")}`,
    description: isPresent ? "in use" : "choose it in the settings",
    detail: capital(explanation),
    ...(isPresent ? { tokens } : { cacheType }),
  };
}

/** One of the choices, or any size that is typed. */
function askForSize(choices: Choice[]): Promise<Choice | undefined> {
  const pick = vscode.window.createQuickPick<Choice>();
  pick.title = "Ullage: size of the window";
  pick.placeholder = "Choose a size, or type one in tokens, such as 12000 or 12k";
  pick.items = choices;
  pick.onDidChangeValue((value) => {
    const tokens = tokensOf(value);
    const typed = tokens && {
      label: counted(tokens, "token"),
      description: "as typed",
      alwaysShow: true,
      tokens,
    };
    pick.items = typed ? [typed, ...choices] : choices;
  });
  return new Promise((resolve) => {
    pick.onDidAccept(() => {
      resolve(pick.selectedItems[0]);
      pick.hide();
    });
    pick.onDidHide(() => {
      resolve(undefined);
      pick.dispose();
    });
    pick.show();
  });
}

function sizeText({ tokens, explanation, reloaded }: SizingReport): string {
  const loaded = reloaded ? " The model was loaded anew for it." : "";
  return `The window has ${counted(tokens, "token")}, ${explanation}.${loaded}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function withProgress<T>(title: string, work: () => Promise<T>): Thenable<T> {
  return vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, work);
}
