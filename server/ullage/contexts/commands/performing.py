"""What the `/context` lines do: each stands for a request, and answers its result beside Markdown for a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from attrs import Factory, define

from ullage.contexts.commands import rendering
from ullage.contexts.commands.choosing import chosen
from ullage.contexts.commands.lines import (
    OFF,
    PREFIX,
    Command,
    command_of,
    format_of,
    parse,
    refused,
    size_of,
    strategy_of,
    switch_of,
)
from ullage.contexts.envelopes import (
    Cleared,
    ContextList,
    Exported,
    MessagePage,
    ModelList,
    OperationPage,
    SearchResult,
)
from ullage.contexts.values import (
    CommandResult,
    CompressionEstimate,
    CompressionResult,
    Context,
    Restored,
    SearchHit,
    SnapshotInfo,
    SnapshotPage,
)
from ullage.errors import InvalidArgument
from ullage.settings import Strategy

if TYPE_CHECKING:
    from ullage.contexts.conversation import Conversations
    from ullage.contexts.directory import Directory
    from ullage.contexts.report import Reports
    from ullage.contexts.sizes import Sizes

SHOWN = 20
"""Messages, operations and hits that are shown at once."""

LOOKED_THROUGH = 1000
"""The newest messages and operations among which the end of an id is looked for."""


class Snapshots(Protocol):
    """Keeping windows, see `ullage.contexts.keeping.snapshots`."""

    async def create(self, context_id: str, summary: str | None) -> SnapshotInfo: ...

    async def page(self, context_id: str | None) -> SnapshotPage: ...

    async def restore(self, snapshot_id: str, context_id: str | None) -> Restored: ...


class Compressions(Protocol):
    """Making room, see `ullage.contexts.making_room.compression`."""

    async def compress(self, context_id: str, strategy: Strategy | None) -> CompressionResult: ...

    async def estimate(self, context_id: str, strategy: Strategy | None) -> CompressionEstimate: ...


class Archive(Protocol):
    """What was said, taken elsewhere, found and erased, see `ullage.contexts.keeping.archive`."""

    async def export(self, context_id: str, format: Literal["json", "markdown"]) -> str: ...  # noqa: A002  # the protocol's word

    async def search(self, query: str, context_ids: Sequence[str] | None, limit: int) -> Sequence[SearchHit]: ...

    async def forget(self, context_id: str, message_id: str) -> None: ...


@define(eq=False)
class Commands:
    """Numbers mean the list that was shown last, since lists change behind a person's back."""

    directory: Directory
    conversations: Conversations
    reports: Reports
    sizes: Sizes
    snapshots: Snapshots
    compressions: Compressions
    archive: Archive
    _listed_snapshots: dict[str, tuple[str, ...]] = Factory(dict)
    _listed_contexts: tuple[str, ...] = ()

    async def run(self, line: str, context_id: str | None = None) -> CommandResult:
        """Do what a line asks for, in the active context where none is given. Raises InvalidArgument for a line that
        can't be read, and what the request raises that it stands for."""
        return await self._perform(parse(line), context_id)

    async def execute(self, name: str, arguments: Sequence[object] | None) -> CommandResult:
        """The same for `workspace/executeCommand`, see `ullage.contexts.commands.lines.command_of`."""
        try:
            return await self._perform(*command_of(name, arguments))
        except InvalidArgument as error:
            path = "command" if error.path == "command" else "arguments"
            raise InvalidArgument(error.message, path) from None

    async def _perform(self, command: Command, context_id: str | None) -> CommandResult:
        try:
            if command.name in ANYWHERE:
                present = context_id or self.directory.active_id
                return await ANYWHERE[command.name](self, present, command.argument)
            session = await self.directory.resolve(context_id)
            return await WITHIN[command.name](self, session.id, command.argument)
        except InvalidArgument as error:  # a request's own parameter is a part of the line here
            raise refused(error.message) from None

    async def _status(self, context_id: str, _: str) -> CommandResult:
        status = await self.reports.status(context_id)
        return CommandResult(rendering.status(status), status)

    async def _stats(self, context_id: str, _: str) -> CommandResult:
        stats = await self.reports.stats(context_id)
        return CommandResult(rendering.stats(stats), stats)

    async def _size(self, context_id: str, tokens: str) -> CommandResult:
        sizing = self.sizes.resize(context_id, size_of(tokens)) if tokens else self.sizes.sizing(context_id)
        report = await sizing
        return CommandResult(rendering.sizing(report), report)

    async def _auto(self, context_id: str, word: str) -> CommandResult:
        enabled = switch_of(word) if word else not (await self.reports.status(context_id)).auto_size
        report = await self.sizes.auto_size(context_id, enabled=enabled)
        return CommandResult(rendering.auto_size(report, enabled=enabled), report)

    async def _snapshot(self, context_id: str, words: str) -> CommandResult:
        info = await self.snapshots.create(context_id, words or None)
        return CommandResult(rendering.snapshot(info), info)

    async def _restore(self, context_id: str, text: str) -> CommandResult:
        page = await self.snapshots.page(context_id)
        newest_first = tuple(sorted(page.snapshots, key=lambda each: (each.created_at, each.id), reverse=True))
        page = SnapshotPage(newest_first, page.unreadable)
        ids = tuple(snapshot.id for snapshot in newest_first)
        if not text:
            self._listed_snapshots[context_id] = ids
            return CommandResult(rendering.snapshot_choice(page), page)
        numbered = self._listed_snapshots.get(context_id, ids)
        restored = await self.snapshots.restore(chosen(text, ids, f"{PREFIX} restore", numbered), context_id)
        return CommandResult(rendering.restored(restored), restored)

    async def _clear(self, context_id: str, _: str) -> CommandResult:
        before = len((await self.directory.resolve(context_id)).state.messages)
        usage = await self.conversations.clear(context_id)
        return CommandResult(rendering.cleared(usage, changed=usage.messages != before), Cleared(usage))

    async def _compress(self, context_id: str, strategy: str) -> CommandResult:
        result = await self.compressions.compress(context_id, strategy_of(strategy))
        return CommandResult(rendering.compressed(result), result)

    async def _estimate(self, context_id: str, strategy: str) -> CommandResult:
        estimate = await self.compressions.estimate(context_id, strategy_of(strategy))
        return CommandResult(rendering.estimated(estimate), estimate)

    async def _undo(self, context_id: str, text: str) -> CommandResult:
        operation_id = None
        if text:
            operations = await self.conversations.history([context_id], None, LOOKED_THROUGH)
            operation_id = chosen(text, [operation.id for operation in operations], f"{PREFIX} history")
        undone = await self.conversations.undo(context_id, operation_id)
        return CommandResult(rendering.undone(undone), undone)

    async def _history(self, context_id: str, _: str) -> CommandResult:
        operations = await self.conversations.history([context_id], None, SHOWN)
        return CommandResult(rendering.history(operations), OperationPage(operations))

    async def _messages(self, context_id: str, _: str) -> CommandResult:
        messages, has_more = await self.conversations.messages(context_id, "window", None, SHOWN)
        return CommandResult(rendering.messages(messages, has_more=has_more), MessagePage(messages, has_more))

    async def _pin(self, context_id: str, text: str) -> CommandResult:
        return await self._set_pinned(context_id, text, pinned=True)

    async def _unpin(self, context_id: str, text: str) -> CommandResult:
        return await self._set_pinned(context_id, text, pinned=False)

    async def _set_pinned(self, context_id: str, text: str, *, pinned: bool) -> CommandResult:
        """Without an id: pin the newest message, or unpin the newest that is pinned."""
        messages, _ = await self.conversations.messages(context_id, "window", None, LOOKED_THROUGH)
        ids = [message.id for message in messages if pinned or message.pinned]
        if not ids:
            raise refused("The window is empty." if pinned else "No message of the window is pinned.")
        message_id = chosen(text, ids, f"{PREFIX} messages") if text else ids[-1]
        message = await self.conversations.pin(context_id, message_id, pinned=pinned)
        return CommandResult(rendering.pinned(message), message)

    async def _forget(self, context_id: str, text: str) -> CommandResult:
        messages, _ = await self.conversations.messages(context_id, "history", None, LOOKED_THROUGH)
        message_id = chosen(text, [message.id for message in messages], f"{PREFIX} messages")
        await self.archive.forget(context_id, message_id)
        return CommandResult(rendering.forgotten(message_id), None)

    async def _export(self, context_id: str, word: str) -> CommandResult:
        language = format_of(word)
        text = await self.archive.export(context_id, language)
        return CommandResult(rendering.exported(text, language), Exported(text))

    async def _model(self, context_id: str, name: str) -> CommandResult:
        if not name:
            return await self._models(context_id, "")
        context = await self.directory.select_model(context_id, name)
        return CommandResult(rendering.model_chosen(context), context)

    async def _mode(self, context_id: str, name: str) -> CommandResult:
        modes = self.directory.sessions.settings().modes
        if not name:
            session = await self.directory.resolve(context_id)
            return CommandResult(rendering.modes(modes, session.state.record.mode), None)
        leaving = name.lower() in OFF and name not in modes
        context = await self.directory.update(context_id, mode="" if leaving else name)
        return CommandResult(rendering.mode_chosen(context), context)

    async def _switch(self, present: str | None, name: str) -> CommandResult:
        contexts = await self.directory.all()
        if not name:
            return self._shown(contexts)
        result = await self.directory.switch(self._context_named(name, contexts, present))
        return CommandResult(rendering.switched(result), result)

    async def _list(self, _: str | None, __: str) -> CommandResult:
        return self._shown(await self.directory.all())

    async def _models(self, _: str | None, __: str) -> CommandResult:
        offered = await self.directory.sessions.models.offered()
        return CommandResult(rendering.models(offered), ModelList(offered))

    async def _memory(self, _: str | None, __: str) -> CommandResult:
        reading = await self.sizes.reading()
        return CommandResult(rendering.memory(reading), reading)

    async def _search(self, _: str | None, words: str) -> CommandResult:
        hits = list(await self.archive.search(words, None, SHOWN))
        contexts = await self.directory.all() if hits else []
        names = {context.id: context.name for context in contexts}
        return CommandResult(rendering.found(hits, names), SearchResult(hits))

    async def _help(self, _: str | None, __: str) -> CommandResult:
        return CommandResult(rendering.help_(), None)

    def _shown(self, contexts: list[Context]) -> CommandResult:
        self._listed_contexts = tuple(context.id for context in contexts)
        return CommandResult(rendering.context_choice(contexts), ContextList(contexts))

    def _context_named(self, name: str, contexts: Sequence[Context], present: str | None) -> str:
        """By its name, in the present context's workspace before all others; else by number or id."""
        workspace = next((context.workspace_uri for context in contexts if context.id == present), None)
        named = [context for context in contexts if context.name == name]
        found = [context for context in named if context.workspace_uri == workspace] or named
        if len(found) > 1:
            raise refused(f"Several contexts have this name. `{PREFIX} switch` lists them: give a number or an id.")
        if found:
            return found[0].id
        ids = [context.id for context in contexts]
        return chosen(name, ids, f"{PREFIX} switch", self._listed_contexts or ids)


Anywhere: TypeAlias = Callable[[Commands, str | None, str], Awaitable[CommandResult]]
Within: TypeAlias = Callable[[Commands, str, str], Awaitable[CommandResult]]

ANYWHERE: Mapping[str, Anywhere] = {
    "switch": Commands._switch,
    "list": Commands._list,
    "models": Commands._models,
    "memory": Commands._memory,
    "search": Commands._search,
    "help": Commands._help,
}
"""Lines that need no context, by name. They are given the id of the present one, where there is one."""

WITHIN: Mapping[str, Within] = {
    "status": Commands._status,
    "size": Commands._size,
    "auto": Commands._auto,
    "snapshot": Commands._snapshot,
    "restore": Commands._restore,
    "clear": Commands._clear,
    "compress": Commands._compress,
    "estimate": Commands._estimate,
    "stats": Commands._stats,
    "undo": Commands._undo,
    "model": Commands._model,
    "mode": Commands._mode,
    "messages": Commands._messages,
    "pin": Commands._pin,
    "unpin": Commands._unpin,
    "history": Commands._history,
    "export": Commands._export,
    "forget": Commands._forget,
}
"""Lines about one context, whose id they are given."""
