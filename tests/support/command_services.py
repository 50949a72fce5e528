"""Every use case that a line can ask for, as one object that notes what it was asked and answers with fixed values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import attrs
from attrs import Factory, define

from support import shown_values as shown
from ullage.contexts.commands.performing import Commands
from ullage.contexts.values import (
    Context,
    MessageView,
    Restored,
    SearchHit,
    SnapshotInfo,
    SnapshotPage,
    SwitchResult,
    Undone,
    UnreadableSnapshot,
)
from ullage.conversation.operations import Operation
from ullage.conversation.usage import Usage
from ullage.errors import InvalidArgument, ModelUnavailable, UnknownContext, UnknownSnapshot
from ullage.settings import Mode, Settings

HERE = shown.ulid("HERE00")
OPERATION = Operation(shown.ulid("0PERAT"), HERE, "clear", 1_700_000_000_000, "client", {})


@define(eq=False)
class Services:
    """``calls`` are the methods that were called, with their arguments."""

    contexts: list[Context] = Factory(lambda: [shown.context("HERE00"), shown.context("N1GHTS", "night watch")])
    messages_: list[MessageView] = Factory(lambda: [shown.message("F1RST0"), shown.message("SEC0ND", "Why?")])
    snapshots_: list[SnapshotInfo] = Factory(
        lambda: [shown.snapshot("0LDEST", created_at=1), shown.snapshot("NEWEST", "after it", created_at=2)]
    )
    modes: dict[str, Mode] = Factory(lambda: {"pirate": Mode("Speak like a pirate.")})
    offered_: list[Any] = Factory(lambda: list(shown.MODELS))
    active_id: str | None = HERE
    auto: bool = True
    calls: list[tuple[object, ...]] = Factory(list)

    @property
    def sessions(self) -> Any:
        settings = Settings(modes=self.modes)
        return SimpleNamespace(models=self, settings=lambda: settings)

    def commands(self) -> Commands:
        every = cast(Any, self)
        return Commands(every, every, every, every, every, every, every)

    async def resolve(self, context_id: str | None) -> Any:
        found = next((c for c in self.contexts if c.id == (context_id or self.active_id)), None)
        if found is None:
            raise UnknownContext("No context is active. Open one for your workspace first.")
        return SimpleNamespace(id=found.id, state=SimpleNamespace(record=found, messages=self.messages_))

    async def all(self) -> list[Context]:
        return self.contexts

    async def switch(self, context_id: str) -> SwitchResult:
        self.calls.append(("switch", context_id))
        found = next(c for c in self.contexts if c.id == context_id)
        return SwitchResult(found, self.active_id, "memory", 0.42)

    async def select_model(self, context_id: str, model: str) -> Context:
        if model not in [each.name for each in shown.MODELS]:
            raise ModelUnavailable("No model server here offers a model of this name.")
        self.calls.append(("select_model", context_id, model))
        return attrs.evolve(self.contexts[0], model=model)

    async def update(self, context_id: str, *, mode: str) -> Context:
        if mode and mode not in self.modes:
            raise InvalidArgument("There is no mode of this name in the settings (there are: pirate).", "mode")
        self.calls.append(("update", context_id, mode))
        return attrs.evolve(self.contexts[0], mode=mode or None)

    async def offered(self) -> list[Any]:
        return self.offered_

    async def messages(
        self, context_id: str, part: str, before: str | None, limit: int
    ) -> tuple[list[MessageView], bool]:
        return self.messages_[-limit:], len(self.messages_) > limit

    async def pin(self, context_id: str, message_id: str, *, pinned: bool) -> MessageView:
        self.calls.append(("pin", message_id, pinned))
        found = next(m for m in self.messages_ if m.id == message_id)
        return attrs.evolve(found, pinned=pinned)

    async def clear(self, context_id: str) -> Usage:
        self.calls.append(("clear", context_id))
        return shown.usage(100, messages=1)

    async def undo(self, context_id: str, operation_id: str | None) -> Undone:
        self.calls.append(("undo", context_id, operation_id))
        return Undone(OPERATION, shown.usage())

    async def history(self, context_ids: list[str], before: str | None, limit: int) -> list[Operation]:
        assert context_ids == [HERE]
        return [OPERATION]

    async def status(self, context_id: str | None) -> Any:
        return shown.status(auto_size=self.auto)

    async def stats(self, context_id: str | None) -> Any:
        return shown.stats()

    async def sizing(self, context_id: str) -> Any:
        return attrs.evolve(shown.sizing(8192), reloaded=False)

    async def resize(self, context_id: str, tokens: int) -> Any:
        self.calls.append(("resize", context_id, tokens))
        return shown.sizing(tokens)

    async def auto_size(self, context_id: str, *, enabled: bool) -> Any:
        self.calls.append(("auto_size", context_id, enabled))
        return shown.sizing(8192)

    async def reading(self) -> Any:
        return shown.reading()

    async def create(self, context_id: str, summary: str | None) -> SnapshotInfo:
        self.calls.append(("create", context_id, summary))
        return shown.snapshot("NEWEST", summary or "")

    async def page(self, context_id: str | None) -> SnapshotPage:
        return SnapshotPage(tuple(self.snapshots_), (UnreadableSnapshot("x.json", "its checksum is wrong"),))

    async def restore(self, snapshot_id: str, context_id: str | None) -> Restored:
        if snapshot_id not in [each.id for each in self.snapshots_]:
            raise UnknownSnapshot("There is no snapshot with this id.")
        self.calls.append(("restore", snapshot_id, context_id))
        return Restored(shown.usage(9000), self.contexts[0])

    async def compress(self, context_id: str, strategy: str | None) -> Any:
        self.calls.append(("compress", context_id, strategy))
        return shown.COMPRESSED

    async def estimate(self, context_id: str, strategy: str | None) -> Any:
        self.calls.append(("estimate", context_id, strategy))
        return shown.ESTIMATED

    async def export(self, context_id: str, language: str) -> str:
        self.calls.append(("export", context_id, language))
        return "# A ```quay``` |\n"

    async def search(self, query: str, context_ids: list[str] | None, limit: int) -> list[SearchHit]:
        self.calls.append(("search", query, context_ids))
        return [SearchHit(self.messages_[0], HERE, "What is a **quay** in <b>Delft</b>?")] if query == "quay" else []

    async def forget(self, context_id: str, message_id: str) -> None:
        self.calls.append(("forget", context_id, message_id))
