"""What holds for every conversation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.conversations import conversations
from ullage.conversation.fitting import reduce, reductions
from ullage.conversation.growing import Growing
from ullage.conversation.ids import Monotonic, encode, is_ulid
from ullage.conversation.operations import WindowChange, change_between, undo_change
from ullage.conversation.sending import Conversation, Dialect, compose, extend, tail_of
from ullage.conversation.turns import turns_of, without_oldest_turns
from ullage.conversation.usage import Usage, measure, reserved_tokens

dialects = st.builds(Dialect, accepts_system=st.booleans(), disarm=st.just(lambda text: text))
windows = st.lists(st.integers(0, 40).map(str), unique=True, max_size=12)


@settings(max_examples=300)
@given(
    tokens=st.integers(0, 10**7),
    more=st.integers(1, 10**6),
    limit=st.integers(1, 10**7),
    reserve=st.integers(1, 10**6),
    max_tokens=st.none() | st.integers(1, 10**6),
    growth=st.lists(st.integers(-100, 5000), max_size=8),
)
def test_property_10_usage_figures_agree(
    tokens: int, more: int, limit: int, reserve: int, max_tokens: int | None, growth: list[int]
) -> None:
    reserved = reserved_tokens(limit, reserve, max_tokens)
    if max_tokens is None:
        assert reserved <= reserve
        assert 4 * reserved <= limit

    def usage(tokens: int) -> Usage:
        return measure(
            tokens=tokens, limit=limit, reserved=reserved, messages=3, source="vocabulary", growth=growth, threshold=0.8
        )

    now, later = usage(tokens), usage(tokens + more)
    assert now.fraction is not None and now.pressure is not None
    assert later.fraction is not None and later.pressure is not None
    assert now.fraction * limit == pytest.approx(tokens)
    assert now.pressure >= now.fraction
    assert later.fraction > now.fraction
    assert later.pressure > now.pressure
    assert (now.pressure <= 1) == (tokens + reserved <= limit) or reserved >= limit
    assert (now.turns_left is None) == all(step <= 0 for step in growth)
    if now.turns_left is not None and later.turns_left is not None:
        assert 0 <= later.turns_left <= now.turns_left
        assert now.turns_left == 0 or now.pressure < 0.8


@settings(max_examples=100)
@given(tokens=st.integers(0, 10**7), reserve=st.integers(1, 10**6), growth=st.lists(st.integers(0, 5000), max_size=8))
def test_property_without_a_limit_nothing_is_claimed_that_needs_one(
    tokens: int, reserve: int, growth: list[int]
) -> None:
    reserved = reserved_tokens(None, reserve)
    usage = measure(tokens=tokens, limit=None, reserved=reserved, messages=1, source="estimate", growth=growth)
    assert (usage.tokens, usage.limit, usage.reserved) == (tokens, None, reserve)
    assert (usage.fraction, usage.pressure, usage.turns_left) == (None, None, None)


@settings(max_examples=300)
@given(messages=conversations(), dialect=dialects, prompt=st.none() | st.text(min_size=1, max_size=9))
def test_property_the_sent_form_is_what_templates_accept(messages: list, dialect: Dialect, prompt: str | None) -> None:
    groups = compose(Conversation(messages, prompt), dialect)
    roles = [group.message.role for group in groups]
    assert roles.count("system") <= 1
    if "system" in roles:
        assert dialect.accepts_system
        assert roles[0] == "system"
    turns = roles[1:] if roles[:1] == ["system"] else roles
    assert not turns or turns[0] == "user"
    waiting: set[str] = set()
    for before, group in zip([None, *groups], groups, strict=False):
        sent = group.message
        if sent.role == "tool":
            assert sent.tool_call_id in waiting
            waiting.discard(sent.tool_call_id or "")
            continue
        assert not waiting
        waiting = {call.id for call in sent.tool_calls}
        assert before is None or before.message.role != sent.role or bool(before.message.tool_calls)


@settings(max_examples=300)
@given(messages=conversations(), dialect=dialects, prompt=st.none() | st.text(min_size=1, max_size=9))
def test_property_every_message_is_sent_exactly_once(messages: list, dialect: Dialect, prompt: str | None) -> None:
    groups = compose(Conversation(messages, prompt), dialect)
    assert sorted(id_ for group in groups for id_ in group.ids) == sorted(m.id for m in messages)


@settings(max_examples=300)
@given(messages=conversations(), dialect=dialects)
def test_property_extending_equals_composing_anew(messages: list, dialect: Dialect) -> None:
    for end in range(1, len(messages) + 1):
        before = tail_of(compose(Conversation(messages[: end - 1]), dialect))
        extended = extend(before, messages[end - 1], dialect)
        assert extended is None or extended == tail_of(compose(Conversation(messages[:end]), dialect))


@settings(max_examples=200)
@given(data=st.data(), items=st.lists(st.integers(), max_size=8))
def test_property_growing_values_never_change(data: st.DataObject, items: list[int]) -> None:
    values = [(Growing(items), tuple(items))]
    for _ in range(data.draw(st.integers(0, 8))):
        value, plain = data.draw(st.sampled_from(values))
        more = data.draw(st.lists(st.integers(), max_size=3))
        values.append((value.grown(more), (*plain, *more)))
    for value, plain in values:
        assert tuple(value) == plain
        assert len(value) == len(plain)
        cut = data.draw(st.slices(len(plain)))
        assert value[cut] == plain[cut]
        for index in range(-len(plain), len(plain)):
            assert value[index] == plain[index]


@settings(max_examples=200)
@given(messages=conversations(), data=st.data())
def test_property_dropping_turns_never_parts_a_call_from_its_results(messages: list, data: st.DataObject) -> None:
    turns = turns_of(messages)
    kept = without_oldest_turns(messages, turns, data.draw(st.integers(0, len(turns))), frozenset())
    calls = {call.id for m in kept for call in m.tool_calls}
    called_before = {call.id for m in messages for call in m.tool_calls}
    for m in kept:
        if m.role == "tool" and m.tool_call_id in called_before:
            assert m.tool_call_id in calls


@settings(max_examples=300)
@given(messages=conversations())
def test_property_no_step_of_fitting_makes_a_message_longer(messages: list) -> None:
    lengths = {m.id: len(m.content) for m in messages}
    for step in reductions(messages):
        reduced = reduce(messages, step)
        assert all(len(m.content) <= lengths[m.id] for m in reduced)
        assert step.masked <= sum(m.role == "tool" and len(m.content) < lengths[m.id] for m in reduced)


@settings(max_examples=300)
@given(before=windows, after=windows, later=st.lists(st.integers(50, 60).map(str), unique=True, max_size=4))
def test_property_undo_gives_back_the_window_with_what_was_said_later(
    before: list[str], after: list[str], later: list[str]
) -> None:
    kept = [id_ for id_ in before if id_ in after]
    summary = [id_ for id_ in after if id_ not in before]
    change = change_between(before, [*summary, *kept])
    said = order_of(*before, *summary, *later)
    assert undo_change([*summary, *kept, *later], change, without(change), said) == (*before, *later)


@settings(max_examples=200)
@given(before=windows, data=st.data())
def test_property_undoing_an_older_change_leaves_newer_ones_in_force(before: list[str], data: st.DataObject) -> None:
    first = [id_ for id_ in before if data.draw(st.booleans())]
    second = [id_ for id_ in first if data.draw(st.booleans())]
    change = change_between(before, first)
    undone = undo_change(second, change, without(change), order_of(*before))
    gone_later = set(first) - set(second)
    assert list(undone) == [id_ for id_ in before if id_ not in gone_later]


@settings(max_examples=200)
@given(before=windows, data=st.data())
def test_property_changes_that_are_undone_in_any_order_leave_the_order_of_saying(
    before: list[str], data: st.DataObject
) -> None:
    first = [id_ for id_ in before if data.draw(st.booleans())]
    second = [id_ for id_ in first if data.draw(st.booleans())]
    window = second
    for change in data.draw(st.permutations([change_between(before, first), change_between(first, second)])):
        window = list(undo_change(window, change, without(change), order_of(*before)))
        assert window == [id_ for id_ in before if id_ in window]
    assert window == before


@settings(max_examples=200)
@given(before=windows, data=st.data())
def test_property_undo_gives_back_an_order_that_was_changed(before: list[str], data: st.DataObject) -> None:
    after = data.draw(st.permutations(before))
    change = change_between(before, after)
    assert list(undo_change(after, change, without(change), order_of(*before))) == before


def without(change: WindowChange) -> dict[str, bool]:
    """Where no other operation had to do with the same messages."""
    return dict.fromkeys(change.removed, True) | dict.fromkeys(change.added, False)


def order_of(*ids: str) -> dict[str, int]:
    return {id_: place for place, id_ in enumerate(ids)}


@settings(max_examples=200)
@given(moments=st.lists(st.tuples(st.integers(0, 2**47), st.integers(0, 2**80 - 1)), max_size=50))
def test_property_ids_ascend_whatever_the_clock_does(moments: list[tuple[int, int]]) -> None:
    ids = Monotonic()
    made = [ids.next(at, randomness) for at, randomness in moments]
    assert made == sorted(set(made))
    assert all(is_ulid(id_) for id_ in made)


def test_an_id_tells_its_time() -> None:
    assert encode(1469918176385, 0)[:10] == "01ARYZ6S41"  # the example of the ULID specification
