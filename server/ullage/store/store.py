"""The store: contexts, everything said in them, and what was done to them, in one SQLite database."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from attrs import evolve

from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.errors import ContextBusy, InvalidArgument, StoreDamaged
from ullage.store import contexts, erasure, factors, forgetting, fulltext, marks, messages, operations, search
from ullage.store.database import BUSY_TIMEOUT_MS, errors_explained, identity, reading, transaction
from ullage.store.erasure import Erasure
from ullage.store.examination import check, examine_schema
from ullage.store.folder import StorageFolder
from ullage.store.records import Commit, ContextRecord, LoggedOperation, StoredWindow
from ullage.store.rows import ContextRow
from ullage.store.search import Found
from ullage.store.wording import match_expression

logger = logging.getLogger(__name__)

MOST_CONTEXTS = 1000
"""How many contexts one request may name: far more than anybody has, and far fewer than SQLite's variables."""

_SET_ASIDE = "The store was set aside as damaged by another process. Restart Ullage to go on."
_REMOVED = (
    "The store was removed or moved away while it was in use, so nothing was saved. Put it back, or restart Ullage to"
    " begin a fresh one."
)
_INDEX_DAMAGED = "The search index can't be read. Restart Ullage: it looks for the damage and goes on without it."


class Store:
    """Synchronous; one thread may use it at a time, and it may be another each time. ``open_store`` makes it.

    Several processes may have the same store open: each sees what the others committed. That a context is written by
    one of them only is for its lock to see to (locks.py).

    Every method may raise StoreDamaged, and ContextBusy where another process has been writing for five seconds. Those
    that write raise StoreFull where the disk took no more; what was there before is still there, and can be read.
    """

    def __init__(self, connection: sqlite3.Connection, folder: StorageFolder) -> None:
        self._connection = connection
        self._folder = folder
        self._database = str(folder.database)
        self._file = identity(self._database)
        self._index_examined = False
        self._with_remnants: set[str] = set()

    def contexts(self) -> list[ContextRecord]:
        """In the order of their making."""
        with self._reading() as connection:
            return [context.record for context in contexts.every(connection)]

    def context(self, context_id: str) -> ContextRecord | None:
        with self._reading() as connection:
            found = contexts.lookup(connection, context_id)
            return None if found is None else found.record

    def find(self, workspace_uri: str, name: str) -> ContextRecord | None:
        with self._reading() as connection:
            found = contexts.find(connection, workspace_uri, name)
            return None if found is None else found.record

    def create(self, record: ContextRecord, operation: Operation) -> None:
        """The context's revision is 1 then. InvalidArgument where the workspace has a context of this name."""
        with self._writing() as connection:
            context = contexts.insert(connection, record)
            operations.log(connection, context, operation)
            contexts.update(connection, context, evolve(context, revision=1))

    def commit(self, commit: Commit) -> int:
        """Make an operation and its change durable, and return the context's new revision.

        UnknownContext; UnknownMessage where the window or a mark names what was never said in this context;
        InvalidArgument where a new message's id, or a new name, is taken; NothingToUndo where ``undoes`` names no
        operation of this context. The cost of an append does not depend on how much was said before.
        """
        with self._writing() as connection:
            before = contexts.require(connection, commit.operation.context_id)
            context = messages.say(connection, before, commit.messages)
            if commit.appended:
                context = messages.extend_window(connection, context, commit.appended, before.said)
            if commit.window is not None:
                context = messages.replace_window(connection, context, commit.window)
            context = marks.add(connection, context, "pinned", commit.pinned)
            context = marks.remove(connection, context, "pinned", commit.unpinned)
            if commit.carried is not None:
                context = marks.replace(connection, context, "carried", commit.carried)
            if commit.masked is not None:
                context = marks.replace(connection, context, "masked", commit.masked)
            operations.log(connection, context, commit.operation, commit.change, commit.undoes)
            record = commit.record or context.record
            context = evolve(context, record=record, revision=context.revision + 1)
            contexts.update(connection, before, context)
        return context.revision

    def commit_unless_locked(self, commit: Commit) -> int | None:
        """The same without waiting: None where another process is writing to the store at this moment."""
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            return self.commit(commit)
        except ContextBusy:
            return None
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def present_without(self, context_id: str, operation_id: str) -> dict[str, bool]:
        """Of each message that the undo of an operation matters to, whether it is in the window then: brought by an
        operation that stands, and not taken out again by another. UnknownContext, NothingToUndo."""
        with self._reading() as connection:
            return operations.present_without(connection, contexts.require(connection, context_id), operation_id)

    def places(self, context_id: str, ids: Sequence[str]) -> dict[str, int]:
        """Figures that order messages as they were said, whatever the clock did. UnknownContext, UnknownMessage."""
        with self._reading() as connection:
            numbers = messages.require_numbers(connection, contexts.require(connection, context_id), ids)
            return dict(zip(ids, numbers, strict=True))

    def revision(self, context_id: str) -> int | None:
        """Rises with every commit to the context, by whichever process; None where there is no such context."""
        with self._reading() as connection:
            found = contexts.lookup(connection, context_id)
            return None if found is None else found.revision

    def window(self, context_id: str) -> StoredWindow:
        """UnknownContext."""
        with self._reading() as connection:
            context = contexts.require(connection, context_id)
            in_window = messages.window(connection, context)
            pinned, carried, masked = (marks.marked(connection, context, mark) for mark in marks.MARKS)
            return StoredWindow(context.revision, in_window, pinned, carried, masked)

    def message(self, context_id: str, message_id: str) -> Message | None:
        """None also where there is no such context, or the message was said in another."""
        with self._reading() as connection:
            context = contexts.lookup(connection, context_id)
            return None if context is None else messages.lookup(connection, context, message_id)

    def messages_by_id(self, context_id: str, ids: Sequence[str]) -> list[Message]:
        """In the order asked for. UnknownContext; UnknownMessage where one was never said in this context."""
        with self._reading() as connection:
            return messages.require(connection, contexts.require(connection, context_id), ids)

    def history(self, context_id: str, before: str | None, limit: int) -> tuple[tuple[Message, ...], bool]:
        """Everything ever said, also what left the window: the newest ``limit`` messages before ``before`` (None: of
        all), ascending, and whether there are older ones. UnknownContext, UnknownMessage."""
        with self._reading() as connection:
            context = contexts.require(connection, context_id)
            return messages.history(connection, context, before, _checked(limit))

    def operations(self, context_ids: Sequence[str] | None, before: str | None, limit: int) -> list[LoggedOperation]:
        """The log of these contexts (None: of all), merged in the order of the commits, ascending: the newest ``limit``
        before ``before``. UnknownContext; InvalidArgument where ``before`` is no operation's id, or these are more
        than MOST_CONTEXTS."""
        ids = _distinct(context_ids)
        with self._reading() as connection:
            wanted = None if ids is None else [contexts.require(connection, id_) for id_ in ids]
            return operations.page(connection, wanted, before, _checked(limit))

    def operation(self, context_id: str, operation_id: str) -> LoggedOperation | None:
        with self._reading() as connection:
            context = contexts.lookup(connection, context_id)
            return None if context is None else operations.lookup(connection, context, operation_id)

    def latest_undoable(self, context_id: str, kinds: Collection[str]) -> LoggedOperation | None:
        """The newest operation of these kinds that is not undone; None where there is none. UnknownContext."""
        with self._reading() as connection:
            return operations.latest_undoable(connection, contexts.require(connection, context_id), kinds)

    def pinned(self, context_id: str) -> frozenset[str]:
        """UnknownContext."""
        with self._reading() as connection:
            return marks.marked(connection, contexts.require(connection, context_id), "pinned")

    def search(self, query: str, context_ids: Sequence[str] | None, limit: int) -> list[Found]:
        """What was ever said in these contexts (None: in all) with the words of ``query``: the best first, by BM25,
        among equals the newest. Every word has to occur; what stands in quotes is a phrase, a * at a word's end stands
        for any ending. A query without a word finds nothing.

        Takes into the index what was said since the last search, as ``index`` does, which is seconds' work at the
        first. NotSupported where SQLite has no FTS5; UnknownContext; InvalidArgument where the query is too long, or
        these are more than MOST_CONTEXTS.
        """
        expression, ids = match_expression(query), _distinct(context_ids)
        _checked(limit)
        try:
            return self._search(expression, ids, limit)
        except fulltext.IndexDamaged:
            self._empty_index()
        try:
            return self._search(expression, ids, limit)
        except fulltext.IndexDamaged as error:
            self._ask_for_examination()
            raise StoreDamaged(_INDEX_DAMAGED) from error

    def index(self, context_ids: Sequence[str] | None) -> bool:
        """Take the next part of what was said into the search index; whether there is more. Called before a search
        until there is none, it lets this process do other things in between. Errors are those of ``search``."""
        try:
            return self._index(_distinct(context_ids))
        except fulltext.IndexDamaged:
            self._empty_index()
            return False

    def _search(self, expression: str | None, ids: Sequence[str] | None, limit: int) -> list[Found]:
        while expression is not None and self._index(ids):
            pass
        with self._reading() as connection:
            wanted = _contexts(connection, ids)
            return [] if expression is None else search.find(connection, wanted, expression, limit)

    def _index(self, ids: Sequence[str] | None) -> bool:
        with self._reading() as connection:
            fulltext.require(connection)
            self._examine_index(connection)
            if not search.is_behind(connection, _contexts(connection, ids)):
                return False
        with self._writing() as connection:
            more = search.catch_up(connection, _contexts(connection, ids))
        if more:
            time.sleep(search.PAUSE_S)
        return more

    def _examine_index(self, connection: sqlite3.Connection) -> None:
        """Once, as the rest of the database is examined when it is opened. IndexDamaged."""
        if not self._index_examined and fulltext.exists(connection) and not fulltext.is_whole(connection):
            raise fulltext.IndexDamaged
        self._index_examined = True

    def _empty_index(self) -> None:
        with self._writing() as connection:
            fulltext.empty(connection)

    def forget(self, context_id: str, message_id: str, operation: Operation) -> frozenset[str]:
        """Erase one message for good, with the summaries that stand for it, and log that something was erased. Returns
        the ids of everything erased; none of them is found anywhere in the database afterwards, nor in one that was
        set aside. Until ``end_erasure`` is called with the operation's id it counts as unfinished. UnknownContext,
        UnknownMessage. Takes as long as writing the database anew."""
        with self._writing() as connection:
            before = contexts.require(connection, context_id)
            context, erased = forgetting.forget(connection, before, message_id)
            operations.log(connection, context, operation)
            contexts.update(connection, before, evolve(context, revision=context.revision + 1))
            erasure.note(self._folder, Erasure(operation.id, context_id, erased))
        self._remove_copies(Erasure(operation.id, context_id, erased))
        return erased

    def delete(self, context_id: str) -> None:
        """Erase a context for good: its rows, what is left of them elsewhere in the file and in the log, databases set
        aside that hold the context, its lock's files. UnknownContext. Works on a damaged context too. Takes as long as
        writing the database anew."""
        with self._writing() as connection:
            number = contexts.number_of(connection, context_id)
            for mark in marks.MARKS:
                marks.erase(connection, number, mark)
            messages.erase(connection, number)
            operations.erase(connection, number)
            contexts.erase(connection, number)
            fulltext.empty(connection)
            erasure.note(self._folder, Erasure(context_id, context_id))
        self._remove_copies(Erasure(context_id, context_id), is_gone=True)
        self.end_erasure(context_id)

    def unfinished_erasures(self) -> list[Erasure]:
        """Those that this process or another has begun, or was killed in. Whoever goes on with one holds the lock of
        its context."""
        return erasure.noted(self._folder)

    def resume_erasure(self, unfinished: Erasure) -> bool:
        """Go on with an erasure whose process was killed; whether it had come to its commit. Otherwise nothing was
        erased."""
        with self._reading() as connection:
            context = contexts.lookup(connection, unfinished.context_id)
            if not forgetting.is_committed(connection, context, unfinished.id):
                return False
        self._remove_copies(unfinished, is_gone=context is None)
        return True

    def being_erased(self, context_id: str) -> frozenset[str]:
        """The messages of a context, which may be gone by now, that were erased from the store by an erasure that has
        not come to its end: snapshots may still hold them."""
        noted = [each for each in self.unfinished_erasures() if each.context_id == context_id]
        with self._reading() as connection:
            context = contexts.lookup(connection, context_id)
            erased = [each for each in noted if forgetting.is_committed(connection, context, each.id)]
        return frozenset(id_ for each in erased for id_ in each.message_ids)

    def end_erasure(self, erasure_id: str) -> None:
        """Say that what lies beside the store was erased too. Where copies stay in the store itself, the erasure is
        unfinished all the same."""
        if erasure_id not in self._with_remnants:
            erasure.end(self._folder, erasure_id)

    def _remove_copies(self, erased: Erasure, *, is_gone: bool = False) -> None:
        """``is_gone``: the context itself was erased."""
        self._with_remnants.add(erased.id)
        with self._errors_explained():
            if erasure.remove_remnants(self._connection):
                self._with_remnants.clear()
        if erased.message_ids:
            erasure.remove_set_aside(self._folder, erased.message_ids)
        if is_gone:
            erasure.remove_files(self._folder, erased.context_id)

    def learned(self, key: str) -> float | None:
        """A token factor learned from what a model server counted; None where none was, or it is damaged."""
        with self._reading() as connection:
            return factors.lookup(connection, key)

    def learn(self, key: str, value: float) -> None:
        with self._writing() as connection:
            factors.put(connection, key, value)

    def check(self) -> list[str]:
        """Examine every page, index and row; what was found, in words that hold nothing of the data. Takes seconds on
        a large store."""
        return check(self._connection)

    def close(self) -> None:
        """The last to close it writes the log back into the database."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._errors_explained(), reading(self._connection):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._errors_explained():
            with transaction(self._connection):
                yield self._connection
            # What went into a file that is at its place no more was not kept.
            if (present := identity(self._database)) != self._file:
                raise StoreDamaged(_REMOVED if present is None else _SET_ASIDE)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            with errors_explained():
                yield
        except StoreDamaged as error:
            if isinstance(error.__cause__, sqlite3.Error):
                self._raise_mistakes(error.__cause__)
                self._ask_for_examination()
            raise

    def _raise_mistakes(self, error: sqlite3.Error) -> None:
        """SQLite has one code for a table that is gone and for a statement that is wrong. As long as the tables are
        those that were made, it is the statement: a mistake of this program, raised as it is. NotSupported where a
        newer version has changed them meanwhile."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF == sqlite3.SQLITE_ERROR:
            try:
                examine_schema(self._connection)
            except (StoreDamaged, sqlite3.Error):
                return
            raise error

    def _ask_for_examination(self) -> None:
        try:
            self._folder.suspect.touch(0o600)
        except OSError:
            logger.warning("The store is damaged, and a full disk keeps that from being noted")


def _contexts(connection: sqlite3.Connection, ids: Sequence[str] | None) -> list[ContextRow]:
    if ids is None:
        return contexts.every(connection)
    return [contexts.require(connection, id_) for id_ in ids]


def _distinct(context_ids: Sequence[str] | None) -> tuple[str, ...] | None:
    ids = None if context_ids is None else tuple(dict.fromkeys(context_ids))
    if ids is not None and len(ids) > MOST_CONTEXTS:
        raise InvalidArgument(f"Ask for at most {MOST_CONTEXTS:,} contexts at a time.", "contextIds")
    return ids


def _checked(limit: int) -> int:
    if limit < 1:
        # SQLite would take a negative one for no limit.
        raise InvalidArgument("Ask for at least one.", "limit")
    return limit
