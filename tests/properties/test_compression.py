"""What holds for every plan of a compression."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from support.conversations import message
from support.weighed import demands, windows
from ullage.conversation.compressing import CARRIED_HEADING_TOKENS, Demand, Plan, Weighed, plan
from ullage.conversation.masking import placeholder
from ullage.conversation.messages import Message
from ullage.conversation.sending import Conversation, Dialect, compose
from ullage.conversation.summary_answer import parse
from ullage.conversation.turns import is_spoken

PLAIN = Dialect(accepts_system=True, disarm=lambda text: text)


def after(window: Weighed, made: Plan, summary: tuple[Message, int] | None = None) -> Weighed:
    """The window that a plan leads to, with a summary of some cost, masked results at their estimated cost."""
    costs = {m.id: cost for m, cost in zip(window.messages, window.costs, strict=True)}
    by_id = {m.id: m for m in window.messages}
    for id_ in made.masked - window.masked:
        characters = len(placeholder(by_id[id_]))
        costs[id_] = max(-(-costs[id_] * characters // len(by_id[id_].content)), characters // 4)
    if summary:
        costs[summary[0].id] = summary[1]
    messages = made.window(summary[0] if summary else None)
    heading = CARRIED_HEADING_TOKENS if made.carried and not window.carried else 0
    return attrs.evolve(
        window,
        messages=messages,
        costs=tuple(costs[m.id] for m in messages),
        masked=made.masked,
        carried=made.carried,
        overhead=window.overhead + heading,
    )


def carried_out(window: Weighed, demand: Demand) -> tuple[Plan, Weighed] | None:
    made = plan(window, demand)
    if made is None:
        return None
    new = message(999, "system", "What was said.", summary_of=tuple(m.id for m in made.leaving))
    return made, after(window, made, (new, demand.summary_tokens) if made.summarised else None)


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_18_system_prompt_survives_truncation(window: Weighed, demand: Demand) -> None:
    made = plan(window, attrs.evolve(demand, strategy="truncate"))
    prompts = [m for m in window.messages if m.role == "system" and m.summary_of is None]
    if made is not None:
        assert [m for m in made.kept if m in prompts] == prompts
        assert not made.summarised


@settings(max_examples=300)
@given(window=windows(), demand=demands(), prompt=st.none() | st.just("Be kind."))
def test_property_19_hybrid_structure(window: Weighed, demand: Demand, prompt: str | None) -> None:
    """System first, then the summary, then what is recent, in its order; and so it is sent."""
    made = plan(window, attrs.evolve(demand, strategy="hybrid"))
    if made is None or not made.summarised:
        return
    summary = message(999, "system", "What was said.", summary_of=tuple(m.id for m in made.leaving))
    replaced = made.window(summary)
    assert tuple(m for m in replaced if m is not summary) == made.kept
    before_it = replaced[: replaced.index(summary)]
    assert not any(is_spoken(m, made.carried) for m in before_it)
    order = {m.id: place for place, m in enumerate(window.messages)}
    places = [order[m.id] for m in made.kept]
    assert places == sorted(places)
    assert [m for m in replaced if m.summary_of is not None] == [summary]
    groups = compose(Conversation(replaced, prompt, made.carried, made.masked), PLAIN)
    leading, *others = groups
    assert leading.message.role == "system"
    assert leading.message.content.endswith(summary.content)
    assert not any(group.message.role == "system" for group in others)


@settings(max_examples=400)
@given(window=windows(), demand=demands(ceilings=st.none()))
def test_property_20_recent_tokens_preserved(window: Weighed, demand: Demand) -> None:
    made = plan(window, demand)
    if made is None:
        return
    newest: list[Message] = []
    tokens = 0
    for m, cost in reversed(list(zip(window.messages, window.costs, strict=True))):
        if tokens >= demand.preserve_recent:
            break
        if is_spoken(m, window.carried):
            newest.insert(0, m)
            tokens += cost
    assert newest == [m for m in made.kept if m in newest]
    assert not (made.masked - window.masked) & {m.id for m in newest}
    assert not made.carried - window.carried & {m.id for m in newest}


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_the_persons_newest_words_stay(window: Weighed, demand: Demand) -> None:
    made = plan(window, demand)
    asked = [m for m in window.messages if m.role == "user" and is_spoken(m, window.carried)]
    if made is not None and asked:
        assert asked[-1] in made.kept
        assert asked[-1].id not in made.carried


@settings(max_examples=400)
@given(window=windows(), demand=demands())
def test_property_no_tool_pair_is_split(window: Weighed, demand: Demand) -> None:
    made = plan(window, demand)
    if made is None:
        return
    kept = {m.id for m in made.kept}
    caller: dict[str, Message] = {}
    for m in window.messages:
        if m.role == "tool" and m.tool_call_id in caller:
            owner = caller[m.tool_call_id]
            if (owner.id in window.carried) == (m.id in window.carried):
                assert (owner.id in kept) == (m.id in kept)
                assert (owner.id in made.carried) == (m.id in made.carried)
        caller.update((call.id, m) for call in m.tool_calls)


@settings(max_examples=400)
@given(window=windows(), demand=demands())
def test_property_plan_never_raises_the_predicted_count(window: Weighed, demand: Demand) -> None:
    done = carried_out(window, demand)
    if done is not None:
        made, then = done
        assert made.predicted < window.tokens
        assert then.tokens <= made.predicted <= then.tokens + CARRIED_HEADING_TOKENS


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_pins_stay_verbatim(window: Weighed, demand: Demand) -> None:
    made = plan(window, demand)
    if made is None:
        return
    pins = [m for m in window.messages if m.id in window.pinned]
    assert [m for m in made.kept if m.id in window.pinned] == pins
    assert not (made.masked - window.masked) & window.pinned
    groups = compose(Conversation(made.kept, None, made.carried, made.masked - window.masked), PLAIN)
    for pin in pins:
        [group] = [group for group in groups if pin.id in group.ids]
        assert pin.content in group.message.content


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_every_message_is_kept_or_leaves_and_in_order(window: Weighed, demand: Demand) -> None:
    made = plan(window, demand)
    if made is None:
        return
    leaving = set(made.leaving)
    assert made.kept == tuple(m for m in window.messages if m not in leaving)
    assert made.leaving == tuple(m for m in window.messages if m in leaving)
    staying = {m.id for m in made.kept}
    assert made.masked <= staying
    assert made.carried <= staying
    assert not made.summarised or made.leaving


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_a_summary_stands_for_earlier_ones_and_nothing_else_takes_them(
    window: Weighed, demand: Demand
) -> None:
    made = plan(window, demand)
    if made is None:
        return
    earlier = [m for m in window.messages if m.summary_of is not None]
    if made.summarised:
        assert not any(m.summary_of is not None for m in made.kept)
        assert any(m.summary_of is None for m in made.leaving)
    elif demand.ceiling is None:
        assert [m for m in made.kept if m.summary_of is not None] == earlier


@settings(max_examples=200)
@given(window=windows(), demand=demands())
def test_property_planning_again_and_again_comes_to_an_end(window: Weighed, demand: Demand) -> None:
    for _ in range(8):
        done = carried_out(window, demand)
        if done is None:
            return
        _, then = done
        assert then.tokens < window.tokens
        window = then
    raise AssertionError("there was always something more to gain")


@settings(max_examples=300)
@given(window=windows(), demand=demands(), lower=st.integers(1, 4000))
def test_property_a_lower_target_never_leaves_more(window: Weighed, demand: Demand, lower: int) -> None:
    target = demand.target or 0
    demand = attrs.evolve(demand, strategy="truncate", target=target, ceiling=None)
    higher, deeper = plan(window, demand), plan(window, attrs.evolve(demand, target=target - lower))
    if higher is not None:
        assert deeper is not None
        assert len(deeper.leaving) >= len(higher.leaving)
        assert deeper.predicted <= higher.predicted


@settings(max_examples=300)
@given(window=windows(), demand=demands())
def test_property_what_is_enough_is_reached_where_the_harder_means_reach_it(window: Weighed, demand: Demand) -> None:
    """Whether the window comes under the ceiling depends on what has to stay, not on the way there."""
    if demand.ceiling is None:
        return
    everything = attrs.evolve(demand, strategy="truncate", target=0, preserve_recent=0, ceiling=0)
    least = plan(window, everything)
    reachable = window.tokens if least is None else least.predicted
    made = plan(window, demand)
    predicted = window.tokens if made is None else made.predicted
    assert (predicted <= demand.ceiling) == (min(reachable, window.tokens) <= demand.ceiling)


@settings(max_examples=500)
@given(text=st.text(alphabet='{}[]":,\\ \n#-*`abgoalrulesnxt0u', max_size=300) | st.text(max_size=200))
def test_property_no_answer_makes_the_reader_fail(text: str) -> None:
    sections = parse(text)
    assert sections is None or sections
