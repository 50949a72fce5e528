"""What the `/context` lines do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

from ullage.cli.figures import duration_text, one_line, percent, size_text, tokens_text
from ullage.cli.folders import contexts_of, folder_of, named
from ullage.cli.framing import Json
from ullage.cli.slash import Command, help_rows
from ullage.cli.status_box import LIST_HEADINGS, MODEL_HEADINGS, list_rows, model_rows, show_status, show_table
from ullage.cli.talk import Talk

Action: TypeAlias = Callable[[Talk, str], Awaitable[None]]

SHORT_ID = 6
"""Characters at the end of an id that people see and type; the end is the random part."""

SHOWN = 20
LOOKED_THROUGH = 100


async def perform(talk: Talk, command: Command) -> None:
    """Do what a line asks for; `quit` is the caller's. Raises ServerError, ServerGone."""
    await ACTIONS[command.name](talk, command.argument)


async def show_help(talk: Talk, _: str) -> None:
    show_table(talk.terminal, ("line", "what it does"), help_rows())


async def _status(talk: Talk, _: str) -> None:
    show_status(talk.terminal, await talk.about_this("context/status"))


async def _list(talk: Talk, _: str) -> None:
    contexts = (await talk.request("context/list"))["contexts"]
    rows = [
        ("*" if context["id"] == talk.context["id"] else "", *row, str(folder_of(context["workspaceUri"]) or ""))
        for context, row in zip(contexts, list_rows(contexts), strict=True)
    ]
    show_table(talk.terminal, ("", *LIST_HEADINGS, "folder"), rows)


async def _switch(talk: Talk, name: str) -> None:
    contexts = (await talk.request("context/list"))["contexts"]
    found = named(contexts_of(contexts, talk.folder), name) or named(contexts, name)
    if found is None:
        talk.terminal.error(f"There is no context named {name}. `ullage chat --name {name}` makes one.")
        return
    result = await talk.switch(found["id"])
    where = {"memory": "from memory", "store": "from the store", "kv-slot": "with its KV cache"}
    duration = duration_text(result["durationMs"])
    usage = tokens_text(result["context"]["usage"])
    talk.terminal.line(f"Now in {found['name']} ({usage}), {where[result['restoredFrom']]} in {duration}.")
    await talk.tell_waiting()


async def _messages(talk: Talk, _: str) -> None:
    page = await talk.about_this("context/messages", limit=SHOWN)
    rows = [
        (_short(m["id"]), m["role"], f"{m['tokens']:,}", "pinned" if m.get("pinned") else "", one_line(m["content"]))
        for m in page["messages"]
    ]
    show_table(talk.terminal, ("id", "role", "tokens", "", "text"), rows)
    if page["hasMore"]:
        talk.terminal.aside(f"The newest {SHOWN}; there are older ones.")


async def _pin(talk: Talk, id_: str) -> None:
    await _set_pinned(talk, id_, pinned=True)


async def _unpin(talk: Talk, id_: str) -> None:
    await _set_pinned(talk, id_, pinned=False)


async def _set_pinned(talk: Talk, id_: str, *, pinned: bool) -> None:
    page = await talk.about_this("context/messages", limit=LOOKED_THROUGH)
    found = [m for m in page["messages"] if m["id"].endswith(id_.upper())]
    if not found or (id_ and len(found) > 1):
        talk.terminal.error("Give the id of one message of the window; `/context messages` shows them.")
        return
    message = await talk.about_this("context/pin", messageId=found[-1]["id"], pinned=pinned)
    done = "Stays in the window" if pinned else "May leave the window again"
    talk.terminal.line(f"{done}: {message['role']}, “{one_line(message['content'])}”")


async def _clear(talk: Talk, _: str) -> None:
    usage = (await talk.about_this("context/clear"))["usage"]
    talk.terminal.line(f"Cleared: {tokens_text(usage)}. `/context undo` brings it back.")
    talk.waiting = None


async def _undo(talk: Talk, _: str) -> None:
    result = await talk.about_this("context/undo")
    talk.terminal.line(f"Took back: {result['undone']['kind']}. Now {tokens_text(result['usage'])}.")


async def _history(talk: Talk, _: str) -> None:
    rows = [
        (datetime.fromtimestamp(o["at"] / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S"), o["kind"], o["origin"])
        for o in await talk.operations(SHOWN)
    ]
    show_table(talk.terminal, ("when", "what", "by"), rows)


async def _stats(talk: Talk, _: str) -> None:
    stats = await talk.about_this("context/stats")
    show_status(talk.terminal, stats)
    show_table(talk.terminal, ("figure", "value"), figures_of(stats))
    own = [(s["path"], str(s["value"]), s["source"]) for s in stats["settings"] if s["source"] != "default"]
    if own:
        talk.terminal.line()
        show_table(talk.terminal, ("setting", "value", "from"), own)


def figures_of(stats: Json) -> list[tuple[str, str]]:
    """What `context/stats` adds to the status, as labels and texts."""
    roles, prompt, timings, cache = stats["tokensByRole"], stats["prompt"], stats["timings"], stats["countCache"]
    sent = prompt["evaluated"] + prompt["reused"]
    speed = timings["tokensPerSecond"]
    return [
        ("Tokens by role", ", ".join(f"{role} {tokens:,}" for role, tokens in roles.items())),
        ("Weights", size_text(stats["weightsBytes"])),
        ("Prompts so far", f"{sent:,} tokens, {percent(prompt['reused'] / sent)} reused" if sent else "none yet"),
        ("Last answer began after", duration_text(timings["firstTokenMs"])),
        ("Last answer's speed", "unknown" if speed is None else f"{speed:,.0f} tokens/s"),
        ("Compressions", f"{len(stats['compressions']):,}"),
        ("Snapshots on disk", size_text(stats["snapshotBytes"])),
        ("Counts kept", f"{cache['hits']:,} found, {cache['misses']:,} made anew"),
    ]


async def _models(talk: Talk, _: str) -> None:
    models = (await talk.request("context/models"))["models"]
    if not models:
        talk.terminal.line("No model server answers. Start one, or run `ullage install-model`.")
        return
    show_table(talk.terminal, MODEL_HEADINGS, model_rows(models))


async def _model(talk: Talk, name: str) -> None:
    talk.context = await talk.about_this("context/model/select", model=name)
    talk.terminal.line(f"Now {talk.context['model']}: {tokens_text(talk.context['usage'])}.")


async def _take_over(talk: Talk, _: str) -> None:
    await talk.reopen(take_over=True)
    talk.terminal.line("This window writes the context now.")


async def _retry(talk: Talk, _: str) -> None:
    if talk.waiting is None:
        talk.terminal.line("Nothing waits for an answer.")
        return
    await talk.turn(None)


def _short(id_: str) -> str:
    return id_[-SHORT_ID:]


ACTIONS: dict[str, Action] = {
    "status": _status,
    "list": _list,
    "switch": _switch,
    "messages": _messages,
    "pin": _pin,
    "unpin": _unpin,
    "clear": _clear,
    "undo": _undo,
    "history": _history,
    "stats": _stats,
    "models": _models,
    "model": _model,
    "take-over": _take_over,
    "retry": _retry,
    "help": show_help,
}
