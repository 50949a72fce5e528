"""The store against a model in plain Python: whatever is committed, in whatever order, comes back."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from itertools import count
from typing import Any

from attrs import Factory, astuple, define, evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from support.store_values import appending, message, new_id, operation, record, undoing, windowing
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.operations import UNDONE_BY_DEFAULT, MarkChange, WindowChange, mark_change, undo_change
from ullage.store.folder import open_folder
from ullage.store.opening import open_store
from ullage.store.records import Commit, ContextRecord, LoggedOperation, StoredWindow

# What SQLite could trip over: zero bytes, the seal's separator, characters outside the basic plane.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\x1f🙂\n"), max_size=20)
maybe = st.none() | texts
vocabulary = st.sampled_from(["fox", "hound", "nest"])
sentences = st.lists(vocabulary | texts, max_size=4).map(" ".join)
calls = st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple)


@st.composite
def messages(draw: Any) -> Message:
    role = draw(st.sampled_from(["system", "user", "assistant", "tool"]))
    at = draw(st.integers(-(2**63), 2**63 - 1))
    said = message(draw(texts | sentences), role=role, created_at=at, name=draw(maybe), tool_calls=draw(calls))
    summary_of = draw(st.none() | st.lists(st.builds(new_id), max_size=3).map(tuple))
    return evolve(said, tool_call_id=draw(maybe), reasoning=draw(maybe), summary_of=summary_of)


@define
class Model:
    """What one context should be."""

    record: ContextRecord
    revision: int = 1
    history: list[Message] = Factory(list)
    window: list[str] = Factory(list)
    pinned: set[str] = Factory(set)
    carried: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()

    def forget(self, ids: Collection[str]) -> None:
        self.history = [each for each in self.history if each.id not in ids]
        self.window = [each for each in self.window if each not in ids]
        self.pinned -= set(ids)
        self.carried -= set(ids)
        self.masked -= set(ids)

    def message(self, id_: str) -> Message:
        return next(each for each in self.history if each.id == id_)


@define
class Logged:
    commit: Commit

    def forget(self, ids: Collection[str]) -> None:
        change = self.commit.change
        if change is not None:
            fields = [without(each, ids) for each in astuple(change, recurse=False)]
            self.commit = evolve(self.commit, change=WindowChange(*fields))

    def undone(self, log: list[Logged]) -> bool:
        undos = [other for other in log if other.commit.undoes == self.commit.operation.id]
        return any(not undo.undone(log) for undo in undos)


def without(value: Any, ids: Collection[str]) -> Any:
    if isinstance(value, MarkChange):
        return MarkChange(without(value.added, ids), without(value.removed, ids))
    return tuple(each for each in value if each not in ids)


def words_of(content: str) -> list[str]:
    """As far as the vocabulary goes that searches are made with."""
    return "".join(each.lower() if each.isalnum() else " " for each in content).split()


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.folder = open_folder(self.directory.name)
        self.store = open_store(self.folder).store
        self.models: dict[str, Model] = {}
        self.log: list[Logged] = []
        self.names = count()

    @initialize(prompt=maybe)
    def first_context(self, prompt: str | None) -> None:
        self.create(prompt)

    @rule(prompt=maybe)
    def create(self, prompt: str | None) -> None:
        made = record(f"context {next(self.names)}", system_prompt=prompt)
        opened = operation(made.id, "open")
        self.store.create(made, opened)
        self.models[made.id] = Model(made)
        self.log.append(Logged(Commit(opened)))

    @rule(data=st.data(), said=st.lists(messages(), max_size=4))
    def append(self, data: st.DataObject, said: list[Message]) -> None:
        model = self.chosen(data)
        pinned = tuple(each.id for each in said if data.draw(st.booleans()))
        self.commit(model, appending(model.record.id, *said, pinned=pinned))
        model.history += said
        model.window += [each.id for each in said]
        model.pinned |= set(pinned)

    @rule(data=st.data(), summary=st.none() | messages())
    def replace_window(self, data: st.DataObject, summary: Message | None) -> None:
        model = self.chosen(data)
        new = () if summary is None else (summary,)
        candidates = [each.id for each in (*model.history, *new)]
        window = data.draw(st.lists(st.sampled_from(candidates), unique=True)) if candidates else []
        change = WindowChange(tuple(model.window), tuple(window), tuple(model.window))
        carried = self.some_of(data, model) if data.draw(st.booleans()) else None
        masked = self.some_of(data, model) if data.draw(st.booleans()) else None
        change = evolve(change, masked=mark_change(model.masked, model.masked if masked is None else masked))
        kind = data.draw(st.sampled_from(["clear", "compress", "restore"]))
        model.history += new
        marks = {"carried": carried, "masked": masked}
        self.commit(model, windowing(model.record.id, window, kind, messages=new, change=change, **marks))
        model.window = window
        model.carried = model.carried if carried is None else carried
        model.masked = model.masked if masked is None else masked

    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        model = self.chosen(data)
        outside = [each.id for each in model.history if each.id not in model.window]
        back = data.draw(st.lists(st.sampled_from(outside), unique=True)) if outside else []
        self.commit(model, Commit(operation(model.record.id, "restore"), appended=tuple(back)))
        model.window += back

    @rule(data=st.data())
    def pin_and_unpin(self, data: st.DataObject) -> None:
        model = self.chosen(data)
        pinned, unpinned = self.some_of(data, model), self.some_of(data, model)
        self.commit(model, Commit(operation(model.record.id, "pin"), pinned=tuple(pinned), unpinned=tuple(unpinned)))
        model.pinned = (model.pinned | pinned) - unpinned

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        model = self.chosen(data)
        own = [each.commit.operation for each in self.log if each.commit.operation.context_id == model.record.id]
        self.commit(model, undoing(model.record.id, data.draw(st.sampled_from(own)).id))

    @rule(data=st.data(), name=texts, dormant=st.booleans())
    def change_record(self, data: st.DataObject, name: str, dormant: bool) -> None:
        model = self.chosen(data)
        changed = evolve(model.record, name=f"{name} {next(self.names)}", model=name, dormant=dormant)
        self.commit(model, Commit(operation(model.record.id, "update"), record=changed))
        model.record = changed

    @rule(data=st.data())
    def summarise(self, data: st.DataObject) -> None:
        model = self.chosen(data)
        summary = message("In short", summary_of=tuple(sorted(self.some_of(data, model))))
        self.commit(model, appending(model.record.id, summary))
        model.history.append(summary)
        model.window.append(summary.id)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        model = self.chosen(data)
        if not model.history:
            return
        erased, before = {data.draw(st.sampled_from(model.history)).id}, 0
        chosen = next(iter(erased))
        place = next(place for place, each in enumerate(model.history) if each.id == chosen)
        said_at = model.history[place].created_at
        later = {each.id for each in model.history[place:]} | {e.id for e in model.history if e.created_at > said_at}
        erased |= {each.id for each in model.history if each.summary_of is not None and each.id in later}
        while len(erased) > before:
            before = len(erased)
            erased |= {each.id for each in model.history if erased & set(each.summary_of or ())}
        done = operation(model.record.id, "forget")
        assert self.store.forget(model.record.id, chosen, done) == erased
        model.revision += 1
        model.forget(erased)
        for each in self.log:
            each.forget(erased)
        self.log.append(Logged(Commit(done)))

    @rule(data=st.data(), words=st.lists(vocabulary, min_size=1, max_size=2), everywhere=st.booleans())
    def search(self, data: st.DataObject, words: list[str], everywhere: bool) -> None:
        asked = sorted(self.models) if everywhere else [self.chosen(data).record.id]
        found = self.store.search(" ".join(words), None if everywhere else asked, 1000)
        expected = {
            (id_, each.id)
            for id_ in asked
            for each in self.models[id_].history
            if set(words) <= set(words_of(each.content))
        }
        assert {(each.context_id, each.message.id) for each in found} == expected
        assert len(found) == len(expected)
        assert all(self.models[each.context_id].message(each.message.id) == each.message for each in found)

    @rule(data=st.data())
    def undo_for_real(self, data: st.DataObject) -> None:
        """What is forgotten is brought back by no undo, and stands in none's way."""
        model = self.chosen(data)
        target = self.store.latest_undoable(model.record.id, UNDONE_BY_DEFAULT)
        if target is None or target.change is None:
            return
        present = self.store.present_without(model.record.id, target.operation.id)
        said = self.store.places(model.record.id, [each.id for each in model.history])
        window = undo_change(model.window, target.change, present, said)
        assert set(window) <= {each.id for each in model.history}
        assert sorted(said, key=said.__getitem__) == [each.id for each in model.history]
        masked = target.change.masked.undone(model.masked)
        commit = windowing(model.record.id, window, "undo", undoes=target.operation.id, masked=masked)
        self.commit(model, commit)
        model.window = list(window)
        model.masked = masked

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if len(self.models) > 1:
            model = self.chosen(data)
            self.store.delete(model.record.id)
            del self.models[model.record.id]
            self.log = [each for each in self.log if each.commit.operation.context_id != model.record.id]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        opened = open_store(self.folder)
        self.store = opened.store
        assert opened.set_aside is None

    @rule(data=st.data(), limit=st.integers(1, 5))
    def history_by_pages(self, data: st.DataObject, limit: int) -> None:
        model = self.chosen(data)
        pages: list[Message] = []
        before, more = None, True
        while more:
            page, more = self.store.history(model.record.id, before, limit)
            pages = [*page, *pages]
            before = page[0].id if page else None
        assert pages == model.history

    @rule(limit=st.integers(1, 5))
    def operations_by_pages(self, limit: int) -> None:
        pages: list[LoggedOperation] = []
        page = self.store.operations(None, None, limit)
        while page:
            pages = [*page, *pages]
            page = self.store.operations(None, page[0].operation.id, limit)
        assert [each.operation for each in pages] == [each.commit.operation for each in self.log]

    @invariant()
    def contexts_are_the_models(self) -> None:
        assert self.store.contexts() == [model.record for model in self.models.values()]

    @invariant()
    def windows_are_the_models(self) -> None:
        for id_, model in self.models.items():
            window = tuple(model.message(each) for each in model.window)
            expected = StoredWindow(model.revision, window, frozenset(model.pinned), model.carried, model.masked)
            assert self.store.window(id_) == expected

    @invariant()
    def operations_are_the_logs(self) -> None:
        found = self.store.operations(list(self.models), None, 1000)
        expected = [(each.commit.operation, each.commit.change, each.undone(self.log)) for each in self.log]
        assert [(each.operation, each.change, each.undone) for each in found] == expected

    @invariant()
    def the_latest_undoable_is_the_logs(self) -> None:
        for id_ in self.models:
            undoable = [
                each.commit.operation
                for each in self.log
                if each.commit.operation.context_id == id_
                and each.commit.operation.kind in UNDONE_BY_DEFAULT
                and not each.undone(self.log)
            ]
            latest = self.store.latest_undoable(id_, UNDONE_BY_DEFAULT)
            assert (latest and latest.operation) == (undoable[-1] if undoable else None)

    def teardown(self) -> None:
        try:
            assert self.store.check() == []
        finally:
            self.store.close()
            self.directory.cleanup()

    def commit(self, model: Model, commit: Commit) -> None:
        model.revision += 1
        assert self.store.commit(commit) == model.revision
        self.log.append(Logged(commit))

    def chosen(self, data: st.DataObject) -> Model:
        return self.models[data.draw(st.sampled_from(sorted(self.models)))]

    def some_of(self, data: st.DataObject, model: Model) -> frozenset[str]:
        if not model.history:
            return frozenset()
        return data.draw(st.frozensets(st.sampled_from([each.id for each in model.history]), max_size=3))


def test_property_40_the_store_is_what_was_committed() -> None:
    limits = settings(
        max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(StoreMachine, settings=limits)
