"""Each request of the protocol, from typed params to the use case and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import define

from ullage.contexts import envelopes, values
from ullage.contexts.answering import Emit
from ullage.contexts.chat import Chats
from ullage.contexts.commands.performing import Commands
from ullage.contexts.completion import Completions
from ullage.contexts.conversation import Conversations
from ullage.contexts.directory import Directory
from ullage.contexts.drafts import Draft
from ullage.contexts.finishing import cancellable_until_begun
from ullage.contexts.keeping.archive import Archive
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.making_room.compression import Compressions
from ullage.contexts.report import Reports
from ullage.contexts.sizes import Sizes
from ullage.conversation.messages import ToolDefinition
from ullage.lsp import results, types
from ullage.lsp.work_done import WorkDone
from ullage.memory.architecture import architecture_of
from ullage.memory.guard import Allocation
from ullage.memory.kv_cache import CacheEstimate, CacheLayout, estimate
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import SizingReport
from ullage.providers.base import AnswerOptions

Handler: TypeAlias = Callable[[Any], Awaitable[Any]]
Progress: TypeAlias = Callable[[int | str, values.Partial], None]


@define(eq=False)
class Handlers:
    """Thin on purpose: a handler names a use case and hands on its arguments."""

    directory: Directory
    conversations: Conversations
    chats: Chats
    completions: Completions
    reports: Reports
    sizes: Sizes
    compressions: Compressions
    snapshots: Snapshots
    archive: Archive
    commands: Commands
    work_done: WorkDone
    progress: Progress

    def table(self) -> Mapping[str, Handler]:
        """Every request of `ullage.lsp.types.REQUESTS` with its handler. Those that change something are carried
        through once they have begun to; a chat is cancelled in its own way."""
        return {**{method: _carried_through(handler) for method, handler in self._changing().items()}, **self._asking()}

    def _changing(self) -> Mapping[str, Callable[[Any], Coroutine[Any, Any, Any]]]:
        return {
            "context/open": self.open,
            "context/update": self.update,
            "context/switch": self.switch,
            "context/close": self.close,
            "context/delete": self.delete,
            "context/append": self.append,
            "context/pin": self.pin,
            "context/clear": self.clear,
            "context/undo": self.undo,
            "context/compress": self.compress,
            "context/forget": self.forget,
            "context/import": self.import_,
            "context/snapshot/create": self.create_snapshot,
            "context/snapshot/restore": self.restore_snapshot,
            "context/snapshot/delete": self.delete_snapshot,
            "context/command": self.command,
            "context/model/select": self.select_model,
            "context/model/unload": self.unload_model,
            "context/resize": self.resize,
            "context/autoSize": self.auto_size,
        }

    def _asking(self) -> Mapping[str, Handler]:
        return {
            "context/list": self.list,
            "context/status": self.status,
            "context/stats": self.stats,
            "context/messages": self.messages,
            "context/chat": self.chat,
            "context/complete": self.complete,
            "context/history": self.history,
            "context/estimateCompression": self.estimate_compression,
            "context/export": self.export,
            "context/search": self.search,
            "context/snapshot/list": self.list_snapshots,
            "context/snapshot/messages": self.snapshot_messages,
            "context/snapshot/verify": self.verify_snapshot,
            "context/countTokens": self.count_tokens,
            "context/models": self.models,
            "context/sizing": self.sizing,
            "context/estimateMemory": self.estimate_memory,
            "context/memory": self.memory,
            "context/canAllocate": self.can_allocate,
        }

    async def open(self, params: types.OpenParams) -> values.Context:
        return await self.directory.open(
            params.workspace_uri,
            params.name,
            mode=params.mode,
            model=params.model,
            activate=params.activate,
            take_over=params.take_over,
        )

    async def update(self, params: types.UpdateParams) -> values.Context:
        return await self.directory.update(
            params.context_id,
            name=params.name,
            mode=params.mode,
            workspace_uri=params.workspace_uri,
            system_prompt=params.system_prompt,
        )

    async def list(self, _: types.NoParams) -> envelopes.ContextList:
        return envelopes.ContextList(await self.directory.all())

    async def switch(self, params: types.SwitchParams) -> values.SwitchResult:
        return await self.directory.switch(params.context_id)

    async def close(self, params: types.ContextParams) -> values.Context:
        return await self.directory.close(params.context_id)

    async def delete(self, params: types.ContextParams) -> None:
        await self.directory.delete(params.context_id)

    async def status(self, params: types.OptionalContextParams) -> values.ContextStatus:
        return await self.reports.status(params.context_id)

    async def stats(self, params: types.OptionalContextParams) -> values.ContextStats:
        return await self.reports.stats(params.context_id)

    async def append(self, params: types.AppendParams) -> results.Appended:
        return results.Appended(*await self.conversations.append(params.context_id, drafts(params.messages)))

    async def messages(self, params: types.MessagesParams) -> envelopes.MessagePage:
        page = await self.conversations.messages(params.context_id, params.view, params.before, params.limit)
        return envelopes.MessagePage(*page)

    async def pin(self, params: types.PinParams) -> values.MessageView:
        return await self.conversations.pin(params.context_id, params.message_id, pinned=params.pinned)

    async def chat(self, params: types.ChatParams) -> values.ChatResult:
        emit = self._emit(params.partial_result_token)
        with self.work_done.of_request(params.work_done_token, "Making room") as report:
            return await self.chats.chat(params.context_id, params.text, answer_options(params.options), emit, report)

    async def complete(self, params: types.CompleteParams) -> values.ChatResult:
        return await self.completions.complete(
            drafts(params.messages),
            answer_options(params.options),
            self._emit(params.partial_result_token),
            context_id=params.context_id,
            model=params.model,
            fit=params.fit,
        )

    async def clear(self, params: types.ContextParams) -> envelopes.Cleared:
        return envelopes.Cleared(await self.conversations.clear(params.context_id))

    async def undo(self, params: types.UndoParams) -> values.Undone:
        return await self.conversations.undo(params.context_id, params.operation_id)

    async def compress(self, params: types.CompressParams) -> values.CompressionResult:
        with self.work_done.of_request(params.work_done_token, "Compressing") as report:
            return await self.compressions.compress(params.context_id, params.strategy, report)

    async def estimate_compression(self, params: types.EstimateCompressionParams) -> values.CompressionEstimate:
        return await self.compressions.estimate(params.context_id, params.strategy)

    async def forget(self, params: types.ForgetParams) -> None:
        await self.archive.forget(params.context_id, params.message_id)

    async def export(self, params: types.ExportParams) -> envelopes.Exported:
        return envelopes.Exported(await self.archive.export(params.context_id, params.format))

    async def import_(self, params: types.ImportParams) -> values.Imported:
        return await self.archive.import_(params.context_id, params.format, params.text)

    async def search(self, params: types.SearchParams) -> envelopes.SearchResult:
        return envelopes.SearchResult(await self.archive.search(params.query, params.context_ids, params.limit))

    async def create_snapshot(self, params: types.CreateSnapshotParams) -> values.SnapshotInfo:
        return await self.snapshots.create(params.context_id, params.summary)

    async def list_snapshots(self, params: types.ListSnapshotsParams) -> values.SnapshotPage:
        return await self.snapshots.page(params.context_id)

    async def snapshot_messages(self, params: types.SnapshotMessagesParams) -> envelopes.MessagePage:
        return envelopes.MessagePage(*await self.snapshots.messages(params.snapshot_id, params.limit))

    async def restore_snapshot(self, params: types.RestoreParams) -> values.Restored:
        return await self.snapshots.restore(params.snapshot_id, params.context_id)

    async def delete_snapshot(self, params: types.SnapshotParams) -> None:
        await self.snapshots.delete(params.snapshot_id)

    async def verify_snapshot(self, params: types.SnapshotParams) -> values.SnapshotVerdict:
        return await self.snapshots.verify(params.snapshot_id)

    async def command(self, params: types.CommandParams) -> values.CommandResult:
        return await self.commands.run(params.line, params.context_id)

    async def history(self, params: types.HistoryParams) -> envelopes.OperationPage:
        operations = await self.conversations.history(params.context_ids, params.before, params.limit)
        return envelopes.OperationPage(operations)

    async def count_tokens(self, params: types.CountTokensParams) -> values.Counts:
        return await self.conversations.count(
            texts=params.texts,
            drafts=None if params.messages is None else drafts(params.messages),
            model=params.model,
            context_id=params.context_id,
        )

    async def models(self, _: types.NoParams) -> envelopes.ModelList:
        return envelopes.ModelList(await self.directory.sessions.models.offered())

    async def select_model(self, params: types.SelectModelParams) -> values.Context:
        return await self.directory.select_model(params.context_id, params.model)

    async def unload_model(self, params: types.UnloadParams) -> results.Unloaded:
        return results.Unloaded(await self.sizes.unload(params.model))

    async def resize(self, params: types.ResizeParams) -> SizingReport:
        return await self.sizes.resize(params.context_id, params.tokens)

    async def auto_size(self, params: types.AutoSizeParams) -> SizingReport:
        return await self.sizes.auto_size(params.context_id, enabled=params.enabled)

    async def sizing(self, params: types.SizingParams) -> SizingReport:
        return await self.sizes.sizing(
            params.context_id, params.model, params.cache_type, as_much_as_fits=params.as_much_as_fits
        )

    async def estimate_memory(self, params: types.EstimateParams) -> CacheEstimate:
        return estimate(architecture_of(params.metadata), cache_layout(params))

    async def memory(self, _: types.NoParams) -> MemoryReading:
        return await self.sizes.reading()

    async def can_allocate(self, params: types.CanAllocateParams) -> Allocation:
        return await self.sizes.can_allocate(params.context_id, params.tokens)

    def _emit(self, token: int | str | None) -> Emit:
        if token is None:
            return _nobody_listens
        return lambda partial: self.progress(token, partial)


def _carried_through(handler: Callable[[Any], Coroutine[Any, Any, Any]]) -> Handler:
    return lambda params: cancellable_until_begun(handler(params))


def _nobody_listens(_: values.Partial) -> None:
    """The client asked for no partial results."""


def drafts(messages: Sequence[types.NewMessage]) -> list[Draft]:
    return [
        Draft(
            role="system" if m.role == "developer" else m.role,
            content=m.content,
            name=m.name,
            tool_calls=tuple(m.tool_calls or ()),
            tool_call_id=m.tool_call_id,
            pinned=m.pinned,
            id=m.id,
        )
        for m in messages
    ]


def answer_options(options: types.ChatOptions) -> AnswerOptions:
    return AnswerOptions(
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        stop=tuple(options.stop or ()),
        seed=options.seed,
        tools=tuple(ToolDefinition(tool.name, tool.description, tool.parameters) for tool in options.tools or ()),
        tool_choice=options.tool_choice,
    )


def cache_layout(params: types.EstimateParams) -> CacheLayout:
    return CacheLayout(
        context_tokens=params.context_tokens,
        slots=params.slots,
        cache_type_k=params.cache_type_k,
        cache_type_v=params.cache_type_v,
        micro_batch=params.micro_batch,
        flash_attention=params.flash_attention,
        unified=params.unified_cache,
        full_sliding_window=params.full_sliding_window_cache,
        rollback_copies=params.rollback_copies,
    )
