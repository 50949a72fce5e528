"""What holds for every line that a person types, and for every status that is shown."""

from __future__ import annotations

import asyncio
import io

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from support import shown_values as shown
from support.command_services import HERE, Services
from ullage.cli.status_box import show_rows
from ullage.cli.terminal import Terminal
from ullage.contexts.commands import rendering
from ullage.contexts.commands.display import status_rows
from ullage.contexts.commands.figures import printable, size_text
from ullage.contexts.commands.lines import LARGEST_SIZE, LINES, completions, parse, size_of
from ullage.contexts.commands.markdown import plain
from ullage.contexts.values import ContextStatus
from ullage.conversation.usage import CRITICAL_PRESSURE
from ullage.errors import InvalidArgument, UllageError

TYPED = ["/context switch x y", "/context model m:8b", "/context restore 9K3XQF", "/context mode p", "/context auto on"]

snapshot_ends = st.lists(st.integers(0, 10**6 - 1).map("{:06}".format), min_size=1, max_size=12, unique=True)


@settings(max_examples=200)
@given(st.integers(-10, LARGEST_SIZE + 10), st.sampled_from(["{}", "{:,}", " {} ", "{} tokens"]))
def test_property_27_size_command_resizes_to_what_was_typed(tokens: int, form: str) -> None:
    services = Services()
    try:
        asyncio.run(services.commands().run("/context size " + form.format(tokens)))
    except InvalidArgument:
        assert not 1 <= tokens <= LARGEST_SIZE
        assert services.calls == []
    else:
        assert services.calls == [("resize", HERE, tokens)]


@settings(max_examples=100)
@given(st.integers(1, LARGEST_SIZE // 1024), st.sampled_from("kK"))
def test_property_27_a_k_is_1024_tokens(thousands: int, unit: str) -> None:
    assert size_of(f"{thousands}{unit}") == 1024 * thousands


@settings(max_examples=100)
@given(snapshot_ends, st.data())
def test_property_28_restore_command_restores_the_snapshot_that_was_chosen(
    ends: list[str], data: st.DataObject
) -> None:
    services = Services(snapshots_=[shown.snapshot(end, created_at=at) for at, end in enumerate(ends)])
    commands = services.commands()
    choice = asyncio.run(commands.run("/context restore"))
    number = data.draw(st.integers(1, len(ends)))
    wanted = choice.data.snapshots[number - 1].id  # type: ignore[attr-defined]  # a page, as the unit tests say
    assert services.calls == []
    for named in (str(number), wanted[-6:], wanted):
        services.calls.clear()
        asyncio.run(commands.run(f"/context restore {named}"))
        assert services.calls == [("restore", wanted, HERE)]


@settings(max_examples=100)
@given(st.text(max_size=12))
def test_property_29_clear_command_clears_the_named_context_alone_and_only_when_asked_plainly(rest: str) -> None:
    services = Services()
    try:
        asyncio.run(services.commands().run(f"/context clear {rest}", HERE))
    except InvalidArgument:
        assert rest.strip()
        assert services.calls == []
    else:
        assert not rest.strip()
        assert services.calls == [("clear", HERE)]


@settings(max_examples=300)
@given(st.text(max_size=40) | st.builds("/context {} {}".format, st.sampled_from([n.name for n in LINES]), st.text()))
def test_property_any_line_is_carried_out_or_refused_in_a_sentence(line: str) -> None:
    services = Services()
    try:
        result = asyncio.run(services.commands().run(line))
    except UllageError as error:
        assert error.message.endswith(".")
        assert services.calls == []
    else:
        assert result.markdown


@settings(max_examples=200)
@given(st.text(max_size=5) | st.builds(str.__getitem__, st.sampled_from(TYPED), st.integers(0, 20).map(slice)))
def test_property_completions_begin_with_what_was_typed_and_can_be_read(text: str) -> None:
    for line in completions(text, contexts=["x y"], models=["m:8b"], snapshots=["9K3XQF"], modes=["p"]):
        assert line.startswith(text)
        if not line.endswith(" "):
            parse(line)


def renderings(status: ContextStatus) -> tuple[str, str]:
    """What an editor shows, marks taken off, and what a terminal shows."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=200)
    show_rows(Terminal(console, console), status_rows(status), status.context.name, status.warning)
    return plain(rendering.status(status)), out.getvalue()


@settings(max_examples=200)
@given(shown.statuses())
def test_property_37_status_is_complete(status: ContextStatus) -> None:
    usage, memory, cache = status.usage, status.memory, status.kv_cache
    expected = [
        status.model.name or "none chosen yet",
        f"{usage.tokens:,}",
        f"{status.snapshots:,}",
        size_text(cache.bytes),
    ]
    if usage.limit is not None:
        expected.append(f"{usage.tokens:,} / {usage.limit:,} ({round(100 * usage.tokens / usage.limit)}%)")
    if memory is not None and memory.total and memory.used is not None:
        share = round(100 * memory.used / memory.total)
        expected.append(f"{size_text(memory.used)} / {size_text(memory.total)} ({share}%)")
    expected.append(cache.type or "type unknown")
    threshold = f"on, from {round(100 * status.auto_compress.threshold)}%"
    expected.append(threshold if status.auto_compress.enabled else "off")
    for text in renderings(status):
        flat = "".join(text.split())
        assert all("".join(printable("".join(each.split()))) in flat for each in expected)


@settings(max_examples=300)
@given(shown.statuses())
def test_property_38_warning_shown_exactly_above_the_threshold(status: ContextStatus) -> None:
    pressure, threshold = status.usage.pressure, status.auto_compress.threshold
    is_due = pressure is not None and (pressure > threshold or pressure >= CRITICAL_PRESSURE)
    assert any(row.label == "Warning" for row in status_rows(status)) == is_due
    for text in renderings(status):
        assert any(line.split()[:1] in (["Warning"], ["Warning:"]) for line in text.split("\n")[1:]) == is_due
