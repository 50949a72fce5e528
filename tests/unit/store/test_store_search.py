from __future__ import annotations

import random
import sqlite3

import pytest

from support.store_values import appending, message, new_id, operation, record, windowing
from ullage.errors import InvalidArgument, NotSupported, StoreDamaged
from ullage.store import fulltext, search
from ullage.store.examination import check
from ullage.store.excerpts import LONGEST
from ullage.store.folder import StorageFolder
from ullage.store.opening import open_store
from ullage.store.store import Store
from ullage.store.wording import LONGEST_QUERY


def say(store: Store, context: str, *contents: str) -> None:
    store.commit(appending(context, *(message(content) for content in contents)))


def contents(store: Store, query: str, *context_ids: str) -> list[str]:
    return [found.message.content for found in store.search(query, context_ids or None, 100)]


def excerpt(store: Store, query: str) -> str:
    (found,) = store.search(query, None, 100)
    return found.excerpt


@pytest.fixture
def side(store: Store) -> str:
    made = record("side")
    store.create(made, operation(made.id, "open"))
    return made.id


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("fox", "The quick brown fox"),
            ("FOX quick", "The quick brown fox"),
            ("bro*", "The quick brown fox"),
            ('"quick brown"', "The quick brown fox"),
            ('"quick bro"*', "The quick brown fox"),
            ("\u201cquick brown\u201d", "The quick brown fox"),
            ('fox"brown', "The quick brown fox"),
            ("munchen", "in München"),
            ("MÜNCHEN", "in mu\u0308nchen"),
            ("snake_case", "call snake_case()"),
            ("don't", "I don't"),
            ("C++", "written in C"),
            ("и́ван", "Иван"),
        ],
    )
    def test_what_is_found(self, store: Store, context: str, query: str, said: str) -> None:
        say(store, context, "something else", said, "and more")
        assert contents(store, query) == [said]

    @pytest.mark.parametrize("query", ["fox wolf", "ox", "row*", '"brown quick"', "quick brown -foxes", "fo", "f*x"])
    def test_what_is_not_found(self, store: Store, context: str, query: str) -> None:
        say(store, context, "The quick brown fox")
        assert contents(store, query) == []

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("东京", "我住在东京附近"),
            ("京", "我住在东京附近"),
            ("住在*", "我住在东京附近"),
            ("カナ", "ひらがなカタカナ漢字"),
            ("국어", "한국어에서"),
            ("ไทย", "ภาษาไทยง่าย"),
            ("हिन्दी", "हिन्दी भाषा"),
            ("x86 处理器", "用x86处理器"),
        ],
    )
    def test_words_of_scripts_without_spaces_are_found(self, store: Store, context: str, query: str, said: str) -> None:
        say(store, context, "京东 else", said)
        assert contents(store, query)[-1] == said

    @pytest.mark.parametrize(("query", "said"), [("京东", "我住在东京附近"), ("हिन्दा", "हिन्दी भाषा")])
    def test_other_words_of_the_same_characters_are_not(
        self, store: Store, context: str, query: str, said: str
    ) -> None:
        say(store, context, said)
        assert contents(store, query) == []

    @pytest.mark.parametrize(
        "query",
        [
            *('"', '""', '"""', "*", "**", "* *", "(", ")", "()", "-", "+", "^", ":", "{a}", "'", "''", ";", "\\", "%"),
            *("AND", "OR", "NOT", "NEAR", "NEAR(a b, 3)", "a AND", "NOT a", "a OR b", "content: a", "{content}: a"),
            *('a "b', 'a" b', '"a" "', "a + b", "^a", "-a", "a - b", "a*b*", '"a*"', "search_index", "rank: a"),
            *("\0", "a\0b", "\x1f", "\x02\x03", "\ud800", "a\udfff", "\ufeff", "\U0010ffff", "🙂", "\u0301", "٣"),
        ],
    )
    def test_nothing_that_a_person_may_type_is_an_error(self, store: Store, context: str, query: str) -> None:
        say(store, context, "a b")
        assert contents(store, query) in ([], ["a b"])

    def test_a_word_of_fts5s_own_is_a_word(self, store: Store, context: str) -> None:
        say(store, context, "salt and pepper", "salt, pepper")
        assert contents(store, "salt AND pepper") == ["salt and pepper"]

    def test_a_query_that_nobody_types_is_refused(self, store: Store, context: str) -> None:
        with pytest.raises(InvalidArgument, match="1,000") as caught:
            store.search("x" * (LONGEST_QUERY + 1), None, 1)
        assert caught.value.path == "query"

    def test_as_many_words_as_may_be_asked_for_can_be(self, store: Store, context: str) -> None:
        query = " ".join(chr(code) for code in range(0x4E00, 0x4E00 + LONGEST_QUERY // 2))
        say(store, context, query)
        assert contents(store, query) == [query]

    @pytest.mark.parametrize("limit", [0, -1])
    def test_at_least_one_is_asked_for(self, store: Store, context: str, limit: int) -> None:
        with pytest.raises(InvalidArgument):
            store.search("a", None, limit)


class TestWhatIsSearched:
    def test_what_left_the_window_is_found(self, store: Store, context: str) -> None:
        say(store, context, "needle")
        store.commit(windowing(context, []))
        assert contents(store, "needle") == ["needle"]

    def test_what_was_said_since_the_last_search_is_found(self, store: Store, context: str) -> None:
        for number in range(3):
            say(store, context, f"needle {number}")
            assert len(contents(store, "needle")) == number + 1

    def test_what_another_process_said_is_found(self, store: Store, folder: StorageFolder, context: str) -> None:
        contents(store, "needle")
        other = open_store(folder).store
        say(other, context, "needle")
        assert contents(store, "needle") == contents(other, "needle") == ["needle"]
        other.close()

    def test_reasoning_is_not_searched(self, store: Store, context: str) -> None:
        store.commit(appending(context, message("answer", role="assistant", reasoning="needle")))
        assert contents(store, "needle") == []

    def test_a_hit_tells_its_message_and_context(self, store: Store, context: str, side: str) -> None:
        said = message("needle", role="assistant", reasoning="because")
        store.commit(appending(side, said))
        (found,) = store.search("needle", None, 10)
        assert (found.context_id, found.message) == (side, said)

    def test_only_the_contexts_asked_for_are_searched(self, store: Store, context: str, side: str) -> None:
        for number, each in enumerate([context, side, context]):
            say(store, each, f"needle {number}")
        assert contents(store, "needle", side) == ["needle 1"]
        assert sorted(contents(store, "needle", context, side)) == ["needle 0", "needle 1", "needle 2"]

    def test_no_contexts_are_not_all(self, store: Store, context: str) -> None:
        say(store, context, "needle")
        assert store.search("needle", [], 10) == []

    def test_more_contexts_than_anybody_has_are_refused(self, store: Store) -> None:
        with pytest.raises(InvalidArgument, match="1,000"):
            store.search("a", [new_id() for _ in range(1001)], 10)

    def test_it_goes_on_where_the_last_part_ended(
        self, store: Store, context: str, side: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "PART_MESSAGES", 3)
        monkeypatch.setattr(search, "PAUSE_S", 0)
        say(store, context, *(f"needle {number}" for number in range(7)))
        say(store, side, *(f"needle {number}" for number in range(4)))
        parts = 1
        while store.index(None):
            parts += 1
        assert (parts, len(contents(store, "needle"))) == (4, 11)

    def test_a_part_is_small_also_where_messages_are_large(
        self, store: Store, context: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "PART_CHARACTERS", 100)
        monkeypatch.setattr(search, "PAUSE_S", 0)
        say(store, context, *["needle " * 20] * 2)
        assert [store.index(None), store.index(None)] == [True, False]

    def test_what_is_indexed_needs_no_writing(self, store: Store, context: str) -> None:
        say(store, context, "needle")
        contents(store, "needle")
        store._connection.execute("PRAGMA query_only = ON")
        assert contents(store, "needle") == ["needle"]

    def test_what_another_process_indexed_needs_no_writing(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        say(store, context, *(f"needle {number}" for number in range(300)))
        for number in range(3):
            say(store, context, f"thread {number}")
            contents(store, "thread")
        other = open_store(folder).store
        other._connection.execute("PRAGMA query_only = ON")
        assert len(contents(other, "thread")) == 3
        other.close()


class TestOrder:
    def test_the_best_comes_first(self, store: Store, context: str) -> None:
        say(store, context, "needle " + "hay " * 50, "needle needle", "needle " + "hay " * 10)
        assert [len(content) for content in contents(store, "needle")] == [13, 47, 207]

    def test_among_equals_the_newest_comes_first(self, store: Store, context: str, side: str) -> None:
        for at, each in [(5, side), (9, context), (7, side), (3, context)]:
            store.commit(appending(each, message("needle", created_at=at)))
        found = [each.message.created_at for each in store.search("needle", None, 10)]
        assert found == [9, 7, 5, 3]
        assert [each.message.created_at for each in store.search("needle", None, 2)] == [9, 7]

    def test_of_the_same_moment_what_was_said_later_comes_first(self, store: Store, context: str) -> None:
        said = [message("needle") for _ in range(3)]
        store.commit(appending(context, *said))
        assert [each.message for each in store.search("needle", None, 10)] == said[::-1]


class TestExcerpts:
    def test_hits_stand_between_marks(self, store: Store, context: str) -> None:
        say(store, context, "The Quick brown fox, quick as ever")
        assert excerpt(store, "quick fox") == "The **Quick** brown **fox**, **quick** as ever"

    def test_a_phrase_is_one_hit(self, store: Store, context: str) -> None:
        say(store, context, "我住在东京附近, quick brown fox")
        assert excerpt(store, '东京 "brown fox"') == "我住在**东京**附近, quick **brown fox**"

    def test_of_a_long_message_it_is_the_piece_with_the_hit(self, store: Store, context: str) -> None:
        say(store, context, "before " * 1000 + "needle" + " after" * 1000)
        found = excerpt(store, "needle")
        assert "before **needle** after" in found
        assert found.startswith("…before")
        assert found.endswith("after…")
        assert len(found) < LONGEST

    @pytest.mark.parametrize("query", ["needle", "x*", "end"])
    def test_it_is_short_also_where_words_are_long(self, store: Store, context: str, query: str) -> None:
        say(store, context, f"{'x' * 20_000} needle {'y' * 20_000} end")
        found = excerpt(store, query)
        assert len(found) <= LONGEST + 10
        assert found.count("**") == 2

    def test_control_characters_stay_out_of_it(self, store: Store, context: str) -> None:
        say(store, context, "a\0b \x02needle\x03\x1f\nend")
        assert excerpt(store, "needle") == "a b  **needle**  \nend"


class TestWithoutFts5:
    @pytest.fixture
    def bare(self, store: Store, context: str, monkeypatch: pytest.MonkeyPatch) -> Store:
        say(store, context, "needle")
        contents(store, "needle")
        monkeypatch.setattr(fulltext, "is_available", lambda connection: False)
        return store

    def test_a_search_says_so(self, bare: Store) -> None:
        with pytest.raises(NotSupported, match="another build of Python"):
            bare.search("needle", None, 1)

    def test_an_index_made_elsewhere_is_emptied_all_the_same(
        self, bare: Store, context: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bare.forget(context, bare.window(context).ids[0], operation(context, "forget"))
        (left,) = bare._connection.execute("SELECT count(*) FROM search_index_data").fetchone()
        assert left == 0
        monkeypatch.undo()
        say(bare, context, "needle again")
        assert contents(bare, "needle") == ["needle again"]


class TestDamage:
    @pytest.fixture
    def indexed(self, store: Store, context: str) -> Store:
        say(store, context, *(f"needle {number} " + "hay " * number for number in range(50)))
        store.search("needle", None, 1)
        return store

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM search_index_data",
            "DELETE FROM search_index_data WHERE id > 10",
            "UPDATE search_index_data SET block = zeroblob(length(block))",
            "UPDATE search_index_data SET block = x'ff'",
            "DELETE FROM search_index_idx",
            "DELETE FROM search_index_docsize",
            "DELETE FROM search_index_config",
            "UPDATE search_index_config SET v = 99",
            "UPDATE search_index_docsize SET id = id + 1000",
        ],
    )
    def test_a_damaged_index_is_made_anew(self, indexed: Store, folder: StorageFolder, statement: str) -> None:
        indexed.close()
        change(folder, statement)
        opened = open_store(folder)
        assert opened.set_aside is None
        assert len(contents(opened.store, "needle")) == 50
        assert (opened.store.check(), folder.suspect.exists()) == ([], False)
        opened.store.close()

    def test_an_index_that_does_not_match_is_made_anew(self, indexed: Store, context: str) -> None:
        number = 1 << 32
        indexed._connection.execute("INSERT INTO search_index (rowid, content) VALUES (?, 'zebra')", (number,))
        assert contents(indexed, "zebra") == []
        assert len(contents(indexed, "needle")) == 50

    def test_a_message_that_is_not_what_was_said_is_never_handed_out(
        self, indexed: Store, folder: StorageFolder
    ) -> None:
        change(folder, "UPDATE message SET content = 'needle 7 changed' WHERE content LIKE 'needle 7 %'")
        with pytest.raises(StoreDamaged):
            indexed.search("needle", None, 100)

    def test_a_damaged_message_keeps_no_other_from_being_found(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        say(store, context, "one", "two", "needle")
        change(folder, "UPDATE message SET content = CAST(x'ff00fe' AS TEXT) WHERE content = 'two'")
        assert contents(store, "needle") == ["needle"]

    @pytest.mark.parametrize(
        "statement", ["DROP TABLE search_index_idx", "ALTER TABLE search_index_data RENAME TO search_index_dat"]
    )
    def test_an_index_of_other_tables_than_those_made_is_damage(
        self, indexed: Store, folder: StorageFolder, statement: str
    ) -> None:
        indexed.close()
        change(folder, "PRAGMA writable_schema = ON", statement)
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None

    def test_a_table_of_the_indexs_name_is_damage(self, store: Store, folder: StorageFolder) -> None:
        store.close()
        change(folder, "CREATE TABLE search_index (content)")
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None

    def test_what_sqlite_itself_finds_in_the_index_is_no_damage_of_the_store(self, indexed: Store) -> None:
        class Newer:
            """SQLite from 3.44 on."""

            in_transaction = True

            def execute(self, sql: str) -> sqlite3.Cursor:
                if sql == "PRAGMA integrity_check":
                    sql = "SELECT 'malformed inverted index for FTS5 table main.search_index'"
                return indexed._connection.execute(sql)

        assert check(Newer()) == []  # type: ignore[arg-type]  # stands for a connection

    @pytest.mark.parametrize("seed", range(20))
    def test_a_flipped_bit_in_the_index_hides_nothing(self, indexed: Store, folder: StorageFolder, seed: int) -> None:
        indexed.close()
        chance = random.Random(seed)
        table, column = chance.choice([("data", "block"), ("data", "block"), ("data", "id"), ("docsize", "id")])
        connection = sqlite3.connect(folder.database)
        rows = connection.execute(f"SELECT rowid, {column} FROM search_index_{table}").fetchall()
        row, value = chance.choice(rows)
        with connection:
            connection.execute(
                f"UPDATE search_index_{table} SET {column} = ? WHERE rowid = ?", (flipped(value, chance), row)
            )
        connection.close()
        store = open_store(folder).store
        assert [len(contents(store, f"needle {number}")) for number in range(50)] == [1] * 50
        store.close()


def flipped(value: bytes | int, chance: random.Random) -> bytes | int:
    if isinstance(value, int):
        return value ^ (1 << chance.randrange(40, 60))
    changed = bytearray(value)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def change(folder: StorageFolder, *statements: str) -> None:
    connection = sqlite3.connect(folder.database)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_context_made_after_another_was_deleted_has_no_words_of_it(store: Store, context: str, side: str) -> None:
    say(store, side, "needle")
    contents(store, "needle")
    store.delete(side)
    again = record("again")
    store.create(again, operation(again.id, "open"))
    say(store, again.id, "thread")
    assert (contents(store, "needle"), contents(store, "thread")) == ([], ["thread"])
    assert store.search("thread", None, 1)[0].context_id == again.id
