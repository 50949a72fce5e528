"""Each result that a line has, in Markdown for people.

What has several columns follows a line that says what it is: an editor puts words of its own before a message's first
line, which would push headings away from their columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ullage.contexts.commands.display import (
    CONTEXT_HEADINGS,
    MODEL_HEADINGS,
    SNAPSHOT_HEADINGS,
    context_rows,
    memory_text,
    model_rows,
    snapshot_rows,
    stats_rows,
    status_rows,
)
from ullage.contexts.commands.figures import (
    UNKNOWN,
    counted,
    duration_text,
    filled_text,
    moment_text,
    number_text,
    one_line,
    percent,
    short_id,
    size_text,
)
from ullage.contexts.commands.lines import LINES, PREFIX
from ullage.contexts.commands.markdown import bullets, escaped, fenced, paragraphs, table
from ullage.contexts.values import (
    CompressionEstimate,
    CompressionResult,
    Context,
    ContextStats,
    ContextStatus,
    MessageView,
    Model,
    Restored,
    SearchHit,
    SnapshotInfo,
    SnapshotPage,
    SwitchResult,
    Undone,
)
from ullage.conversation.operations import Operation
from ullage.conversation.usage import Usage
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import SizingReport
from ullage.settings import Mode

_CAPITAL = re.compile("[A-Z]")
_MEANS = {"toolResults": "masking tool results", "summary": "a summary", "truncation": "truncation"}
_BY = {"client": "you", "server": "the server", "guard": "the guard"}
_FROM = {"memory": "from memory", "store": "from the store", "kv-slot": "with its KV cache"}


def status(value: ContextStatus) -> str:
    return table((value.context.name, ""), [(row.label, row.text) for row in status_rows(value)])


def stats(value: ContextStats) -> str:
    own = [(s.path, _setting_text(s.value), s.source) for s in value.settings if s.source != "default"]
    settings = table(("setting", "value", "from"), own) if own else ""
    return paragraphs(status(value), table(("figure", "value"), stats_rows(value)), settings)


def sizing(value: SizingReport) -> str:
    reloaded = " The model was loaded anew for it." if value.reloaded else ""
    return f"The context size is **{value.tokens:,}** tokens, {escaped(value.explanation)}.{reloaded}"


def auto_size(value: SizingReport, *, enabled: bool) -> str:
    said = "Memory decides the size from now on." if enabled else "The size stays as it is from now on."
    return paragraphs(said, sizing(value))


def snapshot(value: SnapshotInfo) -> str:
    figures = f"{value.tokens:,} tokens, {counted(value.messages, 'message')}, {size_text(value.bytes)}"
    return f"Kept as {_id(value.id)}: {figures}. `{PREFIX} restore {short_id(value.id)}` brings it back."


def snapshot_choice(page: SnapshotPage) -> str:
    """The snapshots in the order that their numbers mean, and how to choose one."""
    unreadable = [f"{escaped(u.file)} could not be read: {escaped(u.reason)}" for u in page.unreadable]
    if not page.snapshots:
        return paragraphs(f"No snapshot yet. `{PREFIX} snapshot` makes one.", bullets(unreadable))
    rows = [(*row[:-1], one_line(row[-1])) for row in snapshot_rows(page.snapshots)]
    how = (
        f"`{PREFIX} restore 1` brings the first one back, `{PREFIX} restore {short_id(page.snapshots[0].id)}` does too."
    )
    return paragraphs("Snapshots, the newest first:", table(SNAPSHOT_HEADINGS, rows), how, bullets(unreadable))


def restored(value: Restored) -> str:
    return f"Restored: {_filled(value.usage)}. `{PREFIX} undo` takes it back."


def context_choice(contexts: Sequence[Context]) -> str:
    """The contexts in the order that their numbers mean."""
    if not contexts:
        return "No context yet. Open one for your workspace first."
    rows = [
        (str(number), row[0], _folder(context.workspace_uri), *row[1:])
        for number, (context, row) in enumerate(zip(contexts, context_rows(contexts), strict=True), 1)
    ]
    headings = ("", CONTEXT_HEADINGS[0], "folder", *CONTEXT_HEADINGS[1:])
    how = f"`{PREFIX} switch` with a name or a number goes there."
    return paragraphs(f"{counted(len(contexts), 'context')}:", table(headings, rows), how)


def switched(value: SwitchResult) -> str:
    how = f"{_FROM[value.restored_from]} in {duration_text(value.duration_ms)}"
    return f"Now in **{escaped(value.context.name)}**: {_filled(value.context.usage)}, {how}."


def cleared(usage: Usage, *, changed: bool) -> str:
    if not changed:
        return f"Nothing was there to clear: {_filled(usage)}. System prompt and pins stay."
    return f"Cleared: {_filled(usage)}. `{PREFIX} undo` brings it back."


def compressed(value: CompressionResult) -> str:
    means = " and ".join(_MEANS[each] for each in value.reduced_by)
    by = f" by {means}" if means else ""
    left = f"{counted(value.removed, 'message')} left the window and stay in the history"
    return f"Compressed{by}: {_smaller(value)}. {left}. `{PREFIX} undo` brings them back."


def estimated(value: CompressionEstimate) -> str:
    if value.compressed_tokens >= value.original_tokens:
        return f"A compression ({value.strategy}) would gain nothing now."
    model = "asks the model for a summary" if value.needs_model else "needs no model"
    left = f"{counted(value.removed, 'message')} would leave the window"
    return f"A compression ({value.strategy}) would come to {_smaller(value)}: {left}. It {model}."


def undone(value: Undone) -> str:
    return f"Took back: {_kind(value.undone)}. Now {_filled(value.usage)}."


def models(offered: Sequence[Model]) -> str:
    if not offered:
        return "No model server answers. Start one, or run `ullage install-model`."
    how = f"`{PREFIX} model` with a name chooses one for this context."
    return paragraphs(f"{counted(len(offered), 'model')}:", table(MODEL_HEADINGS, model_rows(offered)), how)


def model_chosen(context: Context) -> str:
    return f"Now **{escaped(context.model or UNKNOWN)}**: {_filled(context.usage)}."


def modes(known: Mapping[str, Mode], present: str | None) -> str:
    if not known:
        return "The settings have no modes yet. Each is a name with a system prompt and, if wanted, a model."
    rows = [(name, mode.model or "", "this one" if name == present else "") for name, mode in sorted(known.items())]
    how = f"`{PREFIX} mode` with a name takes one on, `off` lets it go."
    return paragraphs("The modes of the settings:", table(("mode", "model", ""), rows), how)


def mode_chosen(context: Context) -> str:
    if context.mode is None:
        return f"No mode any more: {_filled(context.usage)}."
    return f"Now in mode **{escaped(context.mode)}**: {_filled(context.usage)}."


def memory(value: MemoryReading) -> str:
    rows = [("Memory", memory_text(value)), ("Available", size_text(value.available))]
    rows.append(("Held by models", size_text(value.model_loaded)))
    devices = [
        (each.name, size_text(each.used), size_text(each.available), size_text(each.total)) for each in value.devices
    ]
    shown = table(("device", "used", "available", "in all"), devices) if devices else ""
    return paragraphs(table(("memory", ""), rows), shown)


def messages(page: Sequence[MessageView], *, has_more: bool) -> str:
    if not page:
        return "The window is empty."
    rows = [(short_id(m.id), m.role, f"{m.tokens:,}", "pinned" if m.pinned else "", one_line(m.content)) for m in page]
    older = f", the newest {len(page)}; there are older ones" if has_more else ""
    return paragraphs(f"In the window{older}:", table(("id", "role", "tokens", "", "text"), rows))


def pinned(message: MessageView) -> str:
    done = "Stays in the window" if message.pinned else "May leave the window again"
    return f"{done}: {message.role}, “{escaped(one_line(message.content))}”"


def history(operations: Sequence[Operation]) -> str:
    rows = [(short_id(each.id), moment_text(each.at), _kind(each), _BY[each.origin]) for each in operations]
    if not rows:
        return "Nothing was done yet."
    how = f"`{PREFIX} undo` with an id takes back what changed the window."
    return paragraphs("What was done last:", table(("id", "when", "what", "by"), rows), how)


def found(hits: Sequence[SearchHit], names: Mapping[str, str]) -> str:
    """``names`` are those of the contexts, by id; that of a context without one is left out."""
    if not hits:
        return "Nothing was found. All words have to be in one message; `*` at a word's end stands for any ending."
    return bullets(
        " · ".join(
            part
            for part in (
                _id(hit.message.id),
                escaped(names.get(hit.context_id, "")),
                moment_text(hit.message.created_at),
                f"{hit.message.role}: {_marked(hit.excerpt)}",
            )
            if part
        )
        for hit in hits
    )


def exported(text: str, language: str) -> str:
    return fenced(text, language)


def forgotten(message_id: str) -> str:
    return f"Erased for good: {_id(message_id)}. It is in no window, history or snapshot any more."


def help_() -> str:
    lines = table(("line", "what it does"), [(line.usage, line.purpose) for line in LINES])
    return paragraphs("What can be typed:", lines)


def _filled(usage: Usage) -> str:
    return filled_text(usage.tokens, usage.limit)


def _kind(operation: Operation) -> str:
    """``selectModel`` as words."""
    return _CAPITAL.sub(lambda found: f" {found[0].lower()}", operation.kind)


def _smaller(value: CompressionResult | CompressionEstimate) -> str:
    share = percent(value.ratio)
    return f"{number_text(value.original_tokens)} → {number_text(value.compressed_tokens)} tokens ({share})"


def _folder(uri: str) -> str:
    return unquote(uri.rstrip("/").rpartition("/")[2])


def _setting_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _id(id_: str) -> str:
    return f"`{short_id(id_)}`"


def _marked(excerpt: str) -> str:
    """What was found stays between ** and **, the rest is text."""
    pieces = excerpt.split("**")
    if len(pieces) % 2 == 0:
        return escaped(excerpt)
    return "".join(
        f"**{escaped(piece)}**" if index % 2 else _keeping_blanks(piece) for index, piece in enumerate(pieces)
    )


def _keeping_blanks(piece: str) -> str:
    """Escaped, with a blank at an end that had one."""
    before = " " if piece[:1].isspace() else ""
    after = " " if piece.strip() and piece[-1:].isspace() else ""
    return before + escaped(piece) + after
