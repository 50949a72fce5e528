"""What each line asks for, shows and answers. The use cases are the test's own."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from support import shown_values as shown
from support.command_services import HERE, OPERATION, Services
from ullage.contexts import envelopes
from ullage.contexts.commands import rendering
from ullage.contexts.commands.lines import LINES
from ullage.contexts.commands.markdown import plain
from ullage.contexts.commands.performing import ANYWHERE, WITHIN
from ullage.contexts.values import CommandResult
from ullage.errors import InvalidArgument, ModelUnavailable, UllageError, UnknownContext, UnknownSnapshot

OLDEST = shown.ulid("0LDEST")
NIGHT = shown.ulid("N1GHTS")


@pytest.fixture
def services() -> Services:
    return Services()


async def run(services: Services, line: str, context_id: str | None = None) -> CommandResult:
    return await services.commands().run(line, context_id)


async def refused(services: Services, line: str, kind: type[UllageError] = InvalidArgument) -> str:
    """The sentence with which a line is refused; nothing was done."""
    with pytest.raises(kind) as refusal:
        await run(services, line)
    assert services.calls == []
    return refusal.value.message


def test_every_line_is_carried_out_somewhere() -> None:
    assert sorted([*ANYWHERE, *WITHIN]) == sorted(line.name for line in LINES)


@pytest.mark.parametrize("line", ["help", "list", "restore", "models", "mode", "messages", "history"])
async def test_headings_never_stand_behind_what_an_editor_puts_first(services: Services, line: str) -> None:
    assert "|" not in (await run(services, line)).markdown.split("\n")[0]


async def test_context_alone_shows_the_status(services: Services) -> None:
    result = await run(services, "/context")
    assert result.data == shown.status()
    assert "| Tokens | 12,847 / 32,768 (39%) |" in result.markdown


async def test_stats_adds_the_figures_and_the_persons_own_settings(services: Services) -> None:
    result = await run(services, "stats")
    assert result.data == shown.stats()
    assert "| Prompts so far | 400 tokens, 75% reused |" in result.markdown
    assert "| context.targetSize | 8192 | editor |" in result.markdown
    assert "minSize" not in result.markdown


class TestSize:
    async def test_it_resizes(self, services: Services) -> None:
        result = await run(services, "size 8k")
        assert services.calls == [("resize", HERE, 8192)]
        assert result == CommandResult(
            "The context size is **8,192** tokens, as asked for: 1.0 GB free. The model was loaded anew for it.",
            shown.sizing(8192),
        )

    async def test_without_a_figure_it_tells_the_size_and_changes_nothing(self, services: Services) -> None:
        result = await run(services, "size")
        assert services.calls == []
        assert result.markdown == "The context size is **8,192** tokens, as asked for: 1.0 GB free."

    async def test_what_is_no_size_is_refused(self, services: Services) -> None:
        assert "such as 8192" in await refused(services, "size plenty")


class TestAuto:
    @pytest.mark.parametrize(
        ("before", "line", "after"),
        [(True, "auto", False), (False, "auto", True), (True, "auto on", True), (False, "auto off", False)],
    )
    async def test_it_takes_a_word_or_turns_round(
        self, services: Services, before: bool, line: str, after: bool
    ) -> None:
        services.auto = before
        result = await run(services, line)
        assert services.calls == [("auto_size", HERE, after)]
        assert result.data == shown.sizing(8192)

    async def test_another_word_is_refused(self, services: Services) -> None:
        assert await refused(services, "auto perhaps") == "Say on or off."


class TestSnapshots:
    async def test_a_snapshot_has_the_words_as_its_summary(self, services: Services) -> None:
        result = await run(services, "snapshot before the storm")
        assert services.calls == [("create", HERE, "before the storm")]
        assert result.data == shown.snapshot("NEWEST")
        assert "`/context restore NEWEST` brings it back" in result.markdown

    async def test_without_words_the_summary_is_left_to_the_server(self, services: Services) -> None:
        await run(services, "snapshot")
        assert services.calls == [("create", HERE, None)]

    async def test_restore_without_an_id_offers_a_choice_the_newest_first(self, services: Services) -> None:
        result = await run(services, "restore")
        assert services.calls == []
        lines = result.markdown.split("\n")
        assert [line.split(" | ")[:2] for line in lines if line.startswith(("| 1", "| 2"))] == [
            ["| 1", "NEWEST"],
            ["| 2", "0LDEST"],
        ]
        assert "`/context restore NEWEST` does too" in result.markdown
        assert "x.json could not be read: its checksum is wrong" in result.markdown

    async def test_the_choice_is_answered_as_a_page_in_its_order(self, services: Services) -> None:
        data: Any = (await run(services, "restore")).data
        assert [snapshot.summary for snapshot in data.snapshots] == ["after it", "before the storm"]

    @pytest.mark.parametrize("line", ["restore 2", "restore 0LDEST", "restore 0ldest", f"restore {OLDEST}"])
    async def test_a_snapshot_is_named_by_number_or_end_of_its_id(self, services: Services, line: str) -> None:
        result = await run(services, line)
        assert services.calls == [("restore", OLDEST, HERE)]
        assert "`/context undo` takes it back" in result.markdown

    async def test_a_number_means_the_list_that_was_shown(self, services: Services) -> None:
        commands = services.commands()
        await commands.run("restore")
        services.snapshots_.append(shown.snapshot("L8TEST", created_at=3))
        await commands.run("restore 1")
        assert services.calls == [("restore", shown.ulid("NEWEST"), HERE)]

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("restore 3", "No such number is in the list."),
            ("restore 0", "No such number is in the list."),
            ("restore XYZ", "Give at least the last 6 characters of an id;"),
            ("restore XYZXYZ", "No id ends so."),
        ],
    )
    async def test_what_names_no_snapshot_is_refused(self, services: Services, line: str, sentence: str) -> None:
        assert (await refused(services, line)).startswith(sentence)

    async def test_an_end_that_two_ids_share_is_refused(self, services: Services) -> None:
        services.snapshots_ = [shown.snapshot("A000000"), shown.snapshot("B000000")]
        assert "2 ids end so" in await refused(services, "restore 000000")

    async def test_a_whole_id_that_is_unknown_is_the_snapshots_own_error(self, services: Services) -> None:
        assert "no snapshot" in await refused(services, f"restore {shown.ulid('N0B0DY')}", UnknownSnapshot)

    async def test_where_there_is_none_it_says_how_to_make_one(self, services: Services) -> None:
        services.snapshots_ = []
        assert "`/context snapshot` makes one" in (await run(services, "restore")).markdown


class TestContexts:
    @pytest.mark.parametrize("line", ["list", "switch"])
    async def test_they_are_listed_with_numbers(self, services: Services, line: str) -> None:
        result = await run(services, line)
        assert result.data == envelopes.ContextList(services.contexts)
        assert "| 2 | night watch | harbour |" in result.markdown
        assert services.calls == []

    async def test_the_list_needs_no_active_context(self, services: Services) -> None:
        services.active_id = None
        assert "night watch" in (await run(services, "list")).markdown

    @pytest.mark.parametrize("line", ["switch night watch", "switch 2", "switch N1GHTS"])
    async def test_one_is_named_by_name_number_or_id(self, services: Services, line: str) -> None:
        result = await run(services, line)
        assert services.calls == [("switch", NIGHT)]
        assert result.markdown == "Now in **night watch**: 12,847 / 32,768 (39%), from memory in 0.4 ms."

    async def test_the_present_workspace_goes_before_others(self, services: Services) -> None:
        services.contexts.insert(0, shown.context("0THERS", workspace_uri="file:///home/someone/pier"))
        await run(services, "switch main", HERE)
        assert services.calls == [("switch", HERE)]

    async def test_a_name_that_several_have_is_refused(self, services: Services) -> None:
        services.contexts += [shown.context(end, "pier", f"file:///{end}") for end in ("P1ER01", "P1ER02")]
        assert "Several contexts have this name" in await refused(services, "switch pier")

    async def test_a_name_that_none_has_is_refused(self, services: Services) -> None:
        assert "`/context switch` shows" in await refused(services, "switch lighthouse")

    async def test_no_context_at_all_is_said(self, services: Services) -> None:
        services.contexts = []
        assert "No context yet" in (await run(services, "list")).markdown


class TestTheWindow:
    async def test_clear_says_that_undo_brings_it_back(self, services: Services) -> None:
        result = await run(services, "clear")
        assert services.calls == [("clear", HERE)]
        assert result.data == envelopes.Cleared(shown.usage(100, messages=1))
        assert result.markdown == "Cleared: 100 / 32,768 (0%). `/context undo` brings it back."

    async def test_clear_promises_no_undo_where_nothing_was_cleared(self, services: Services) -> None:
        services.messages_.pop()
        assert "Nothing was there to clear" in (await run(services, "clear")).markdown

    async def test_undo_takes_the_latest_change_back(self, services: Services) -> None:
        result = await run(services, "undo")
        assert services.calls == [("undo", HERE, None)]
        assert result.markdown == "Took back: clear. Now 12,847 / 32,768 (39%)."

    async def test_undo_takes_an_operation_of_the_history(self, services: Services) -> None:
        await run(services, "undo 0PERAT")
        assert services.calls == [("undo", HERE, OPERATION.id)]

    async def test_undo_of_what_is_not_in_the_history_is_refused(self, services: Services) -> None:
        assert "`/context history` shows" in await refused(services, "undo XYZXYZ")

    async def test_history_tells_what_was_done(self, services: Services) -> None:
        result = await run(services, "history")
        assert result.data == envelopes.OperationPage([OPERATION])
        assert "| 0PERAT | 2023-11-1" in result.markdown
        assert result.markdown.split("\n")[4].endswith(" | clear | you |")

    async def test_history_tells_the_protocols_kinds_as_words(self, services: Services) -> None:
        chosen = attrs.evolve(OPERATION, kind="selectModel", origin="guard")
        assert rendering.history([chosen]).split("\n")[4].endswith(" | select model | the guard |")

    @pytest.mark.parametrize(
        ("line", "strategy"), [("compress", None), ("compress truncate", "truncate"), ("estimate HYBRID", "hybrid")]
    )
    async def test_compressions_take_a_strategy(self, services: Services, line: str, strategy: str | None) -> None:
        result = await run(services, line)
        assert services.calls == [(line.split(maxsplit=1)[0], HERE, strategy)]
        assert "30,000 → 15,000 tokens (50%)" in result.markdown

    async def test_an_estimate_that_gains_nothing_says_so(self) -> None:
        nothing = attrs.evolve(shown.ESTIMATED, compressed_tokens=30_000)
        assert rendering.estimated(nothing) == "A compression (hybrid) would gain nothing now."

    async def test_a_compression_tells_its_means(self, services: Services) -> None:
        result = await run(services, "compress")
        assert result.data == shown.COMPRESSED
        assert "by masking tool results and a summary" in result.markdown

    @pytest.mark.parametrize("line", ["compress shred", "estimate shred"])
    async def test_another_strategy_is_refused(self, services: Services, line: str) -> None:
        assert await refused(services, line) == "Say truncate, summarize, hybrid."


class TestMessages:
    async def test_they_are_shown_with_their_ids(self, services: Services) -> None:
        result = await run(services, "messages")
        assert result.data == envelopes.MessagePage(services.messages_, has_more=False)
        assert "| SEC0ND | user | 7 |  | Why? |" in result.markdown

    async def test_older_ones_are_mentioned(self, services: Services) -> None:
        services.messages_ = [shown.message(f"{n:06}") for n in range(30)]
        assert "In the window, the newest 20; there are older ones:" in (await run(services, "messages")).markdown

    async def test_an_empty_window_is_said(self, services: Services) -> None:
        services.messages_ = []
        assert (await run(services, "messages")).markdown == "The window is empty."

    async def test_what_was_said_is_never_markup(self, services: Services) -> None:
        services.messages_ = [shown.message("F1RST0", "a | [b](command:rm) ![c](d) <e> \x1b[2J")]
        result = await run(services, "messages")
        assert r"a \| \[b\](command:rm) \!\[c\](d) \<e\> \[2J" in result.markdown
        assert "a | [b](command:rm) ![c](d) <e> [2J" in plain(result.markdown)

    @pytest.mark.parametrize(
        ("line", "call"),
        [
            ("pin", ("pin", shown.ulid("SEC0ND"), True)),
            ("pin F1RST0", ("pin", shown.ulid("F1RST0"), True)),
            ("unpin", ("pin", shown.ulid("F1RST0"), False)),
            ("unpin f1rst0", ("pin", shown.ulid("F1RST0"), False)),
        ],
    )
    async def test_one_is_pinned_or_let_go(self, services: Services, line: str, call: tuple[object, ...]) -> None:
        services.messages_[0] = attrs.evolve(services.messages_[0], pinned=True)
        await run(services, line)
        assert services.calls == [call]

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("pin XYZ", "Give at least the last 6"),
            ("pin XYZXYZ", "No id ends so"),
            ("unpin", "No message of the window"),
        ],
    )
    async def test_what_names_no_message_is_refused(self, services: Services, line: str, sentence: str) -> None:
        assert (await refused(services, line)).startswith(sentence)

    async def test_an_empty_window_has_nothing_to_pin(self, services: Services) -> None:
        services.messages_ = []
        assert await refused(services, "pin") == "The window is empty."

    async def test_one_is_forgotten_by_its_id(self, services: Services) -> None:
        result = await run(services, "forget F1RST0")
        assert services.calls == [("forget", HERE, shown.ulid("F1RST0"))]
        assert result == CommandResult(
            "Erased for good: `F1RST0`. It is in no window, history or snapshot any more.", None
        )

    @pytest.mark.parametrize("line", ["forget", "forget 1", "forget T0", "forget XYZXYZ"])
    async def test_nothing_is_forgotten_on_a_guess(self, services: Services, line: str) -> None:
        assert await refused(services, line)

    async def test_search_shows_where_and_what(self, services: Services) -> None:
        result = await run(services, "search quay")
        assert services.calls == [("search", "quay", None)]
        assert "`F1RST0` · main · " in result.markdown
        assert r"What is a **quay** in \<b\>Delft\</b\>?" in result.markdown

    async def test_search_says_where_nothing_was_found(self, services: Services) -> None:
        assert "Nothing was found" in (await run(services, "search lighthouse")).markdown

    async def test_search_needs_words(self, services: Services) -> None:
        assert "`/context search <words>`" in await refused(services, "search")

    @pytest.mark.parametrize(("line", "language"), [("export", "markdown"), ("export JSON", "json")])
    async def test_an_export_is_shown_as_it_is(self, services: Services, line: str, language: str) -> None:
        result = await run(services, line)
        assert services.calls == [("export", HERE, language)]
        assert plain(result.markdown) == "# A ```quay``` |\n"
        assert result.data == envelopes.Exported("# A ```quay``` |\n")

    async def test_another_format_is_refused(self, services: Services) -> None:
        assert "markdown or json" in await refused(services, "export pdf")


class TestModels:
    @pytest.mark.parametrize("line", ["models", "model"])
    async def test_they_are_listed(self, services: Services, line: str) -> None:
        result = await run(services, line)
        assert result.data == envelopes.ModelList(shown.MODELS)
        assert "| llama3 | ollama | loaded | 131,072 | 32,768 | 4.0 GB |" in result.markdown

    async def test_where_no_server_answers_it_says_what_to_do(self, services: Services) -> None:
        services.offered_ = []
        assert "Start one" in (await run(services, "models")).markdown

    async def test_one_is_chosen(self, services: Services) -> None:
        result = await run(services, "model odd")
        assert services.calls == [("select_model", HERE, "odd")]
        assert result.markdown == "Now **odd**: 12,847 / 32,768 (39%)."

    async def test_an_unknown_one_is_the_model_servers_own_error(self, services: Services) -> None:
        assert await refused(services, "model nothing", ModelUnavailable)

    async def test_modes_are_listed(self, services: Services) -> None:
        assert "| pirate |" in (await run(services, "mode")).markdown

    async def test_where_the_settings_have_no_mode_it_says_what_one_is(self, services: Services) -> None:
        services.modes = {}
        assert "no modes yet" in (await run(services, "mode")).markdown

    @pytest.mark.parametrize(("line", "mode"), [("mode pirate", "pirate"), ("mode off", "")])
    async def test_a_mode_is_taken_on_and_let_go(self, services: Services, line: str, mode: str) -> None:
        await run(services, line)
        assert services.calls == [("update", HERE, mode)]

    async def test_a_mode_that_is_named_off_is_a_mode(self, services: Services) -> None:
        services.modes["off"] = services.modes["pirate"]
        await run(services, "mode off")
        assert services.calls == [("update", HERE, "off")]

    async def test_an_unknown_mode_is_refused(self, services: Services) -> None:
        assert "there are: pirate" in await refused(services, "mode parrot")

    async def test_memory_shows_every_device(self, services: Services) -> None:
        result = await run(services, "memory")
        assert result.data == shown.reading()
        assert "6.0 GB / 8.0 GB (75%), nvidia on 2 devices" in result.markdown
        assert "| card 1 | 3.0 GB | 1.0 GB | 4.0 GB |" in result.markdown


async def test_help_lists_every_line(services: Services) -> None:
    result = await run(services, "help")
    assert all(line.usage in plain(result.markdown) for line in LINES)
    assert result.data is None


async def test_a_line_goes_to_the_context_that_is_named(services: Services) -> None:
    await run(services, "clear", NIGHT)
    assert services.calls == [("clear", NIGHT)]


async def test_a_line_about_a_context_needs_one(services: Services) -> None:
    services.active_id = None
    assert "Open one" in await refused(services, "clear", UnknownContext)


@pytest.mark.parametrize("line", ["mode parrot", "size plenty", "frobnicate"])
async def test_a_refused_parameter_is_the_lines(services: Services, line: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await run(services, line)
    assert refusal.value.path == "line"


class TestExecuting:
    async def test_it_does_the_same_as_the_line(self, services: Services) -> None:
        arguments = [{"contextId": NIGHT, "argument": "8k"}]
        result = await services.commands().execute("ullage.server.size", arguments)
        assert services.calls == [("resize", NIGHT, 8192)]
        assert result.data == shown.sizing(8192)

    @pytest.mark.parametrize(
        ("name", "arguments", "path"),
        [("ullage.server.size", ["plenty"], "arguments"), ("ullage.server.nothing", [], "command")],
    )
    async def test_a_mistake_names_what_was_wrong(
        self, services: Services, name: str, arguments: list[object], path: str
    ) -> None:
        with pytest.raises(InvalidArgument) as refusal:
            await services.commands().execute(name, arguments)
        assert refusal.value.path == path
