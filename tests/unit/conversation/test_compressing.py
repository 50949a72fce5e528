"""What a plan of a compression keeps, masks and lets go."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import pytest

from support.conversations import message, talk
from support.weighed import OVERHEAD, cost, tool_round, turns, weighed
from ullage.conversation.compressing import CARRIED_HEADING_TOKENS, Demand, Plan, plan
from ullage.conversation.masking import placeholder
from ullage.conversation.messages import Message, ToolCall

TRUNCATE = Demand("truncate", None, 0)
SUMMARIZE = Demand("summarize", None, 0, summary_tokens=20)
HYBRID = Demand("hybrid", None, 0, summary_tokens=20)
SYSTEM = message(900, "system", "Be kind.")


def numbers(messages: Sequence[Message]) -> list[int]:
    return [m.created_at for m in messages]


def positions(window: Sequence[Message], ids: frozenset[str]) -> list[int]:
    return [place for place, m in enumerate(window) if m.id in ids]


def planned(messages: Sequence[Message], demand: Demand, **sets: frozenset[str]) -> Plan:
    made = plan(weighed(messages, **sets), demand)
    assert made is not None
    return made


def total(messages: Sequence[Message]) -> int:
    return OVERHEAD + sum(map(cost, messages))


def loop(rounds: int, size: int = 2000, start: int = 100) -> list[Message]:
    """One question and a tool loop of so many rounds."""
    messages = [message(start, "user", "Find it.")]
    for number in range(rounds):
        messages += tool_round(start + 1 + 2 * number, size)
    return messages


# Turns


def test_without_a_target_all_but_the_last_turn_leaves() -> None:
    made = planned([SYSTEM, *turns(4)], TRUNCATE)
    assert numbers(made.kept) == [900, 6, 7]
    assert numbers(made.leaving) == [0, 1, 2, 3, 4, 5]
    assert made.predicted == total(made.kept)


def test_as_few_turns_leave_as_the_target_needs() -> None:
    window = [SYSTEM, *turns(4)]
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 1))
    assert numbers(made.leaving) == [0, 1]


def test_the_newest_tokens_stay_and_with_them_the_message_that_reaches_beyond() -> None:
    window = turns(4)
    made = planned(window, attrs.evolve(TRUNCATE, preserve_recent=3 * cost(window[0]) + 1))
    assert numbers(made.kept) == [4, 5, 6, 7]


def test_what_lies_beyond_the_newest_tokens_may_leave() -> None:
    window = turns(4)
    made = planned(window, attrs.evolve(TRUNCATE, preserve_recent=2 * cost(window[0])))
    assert numbers(made.kept) == [6, 7]


def test_a_turn_that_is_preserved_in_part_is_kept_whole_where_it_is_one_round() -> None:
    window = turns(4)
    made = planned(window, attrs.evolve(TRUNCATE, preserve_recent=3 * cost(window[0])))
    assert numbers(made.kept) == [4, 5, 6, 7]


def test_a_pending_question_is_the_last_turn() -> None:
    made = planned([*turns(2), message(4, "user", "And?")], TRUNCATE)
    assert numbers(made.kept) == [4]


def test_a_result_and_its_call_leave_together() -> None:
    old = [message(50, "user"), *tool_round(51, 10), message(53, "assistant")]
    made = planned([*old, *turns(1)], TRUNCATE)
    assert numbers(made.leaving) == [50, 51, 52, 53]


def test_a_call_whose_result_came_late_stays_with_it() -> None:
    call = message(1, "assistant", "Looking.", tool_calls=(ToolCall("late", "look", "{}"),))
    late = message(3, "tool", "found", tool_call_id="late")
    made = plan(weighed([message(0, "user"), call, message(2, "user", "Still there?"), late]), TRUNCATE)
    assert made is None


def test_calls_that_count_from_0_in_every_turn_belong_to_their_own_results() -> None:
    first, second = ([message(n, "user"), *tool_round(n + 1, 500, "0"), message(n + 3, "assistant")] for n in (0, 10))
    made = planned([*first, *second], TRUNCATE)
    assert numbers(made.kept) == [10, 11, 12, 13]


def test_what_a_person_says_into_a_tool_loop_stays_with_the_question() -> None:
    call = message(101, "assistant", "Looking.", tool_calls=(ToolCall("late", "look", "{}"),))
    interjected = message(102, "user", "Only in src.")
    late = message(103, "tool", "r" * 2000, tool_call_id="late")
    window = [message(100, "user", "Find it."), call, interjected, late, *tool_round(104, 2000)]
    made = planned(window, attrs.evolve(TRUNCATE, target=0, ceiling=0))
    assert numbers(made.kept) == [100, 102, 104, 105]


def test_nothing_may_leave_a_window_of_one_turn() -> None:
    assert plan(weighed([SYSTEM, *turns(1)]), TRUNCATE) is None


def test_a_window_that_is_within_the_target_stays_as_it_is() -> None:
    window = turns(4)
    assert plan(weighed(window), attrs.evolve(HYBRID, target=total(window))) is None


def test_an_empty_window_has_no_plan() -> None:
    assert plan(weighed([]), TRUNCATE) is None


# Masking


def test_tool_results_are_masked_before_anything_leaves() -> None:
    window = [*loop(2, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    made = planned(window, attrs.evolve(HYBRID, target=total(window) - 600))
    assert made.leaving == ()
    assert not made.summarised
    assert positions(window, made.masked) == [2, 4]


def test_only_as_many_results_are_masked_as_the_target_needs() -> None:
    window = [*loop(3, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 300))
    assert positions(window, made.masked) == [2]


@pytest.mark.parametrize("tokens", [100, 1000, 4000])
def test_a_placeholder_costs_its_share_of_the_characters_and_at_least_a_token_for_four(tokens: int) -> None:
    window = [*loop(1, size=1000, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    costly = attrs.evolve(weighed(window), costs=tuple(tokens if m.role == "tool" else cost(m) for m in window))
    made = plan(costly, attrs.evolve(TRUNCATE, target=costly.tokens - 1))
    assert made is not None
    characters = len(placeholder(window[2]))
    assert costly.tokens - made.predicted == tokens - max(-(-tokens * characters // 1000), characters // 4)


def test_what_is_masked_already_is_not_masked_again_and_stays_masked() -> None:
    window = [*loop(2, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    before = frozenset({window[2].id})
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 1), masked=before)
    assert positions(window, made.masked) == [2, 4]


def test_what_leaves_is_no_longer_masked() -> None:
    window = [*loop(1, start=0), message(10, "assistant", "There."), *turns(2, start=20)]
    assert planned(window, TRUNCATE, masked=frozenset({window[2].id})).masked == frozenset()


def test_summarize_masks_nothing() -> None:
    window = [*loop(2, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    made = planned(window, attrs.evolve(SUMMARIZE, target=total(window) - 100))
    assert made.masked == frozenset()
    assert made.summarised


def test_masks_that_are_not_needed_once_turns_leave_are_not_put() -> None:
    window = [*turns(1, size=4000), *loop(1, size=1000), message(110, "assistant", "There."), *turns(1, start=120)]
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 300))
    assert numbers(made.leaving) == [0, 1]
    assert made.masked == frozenset()


def test_a_result_that_a_placeholder_would_not_shorten_is_left_alone() -> None:
    window = [*loop(2, size=20, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 1))
    assert made.masked == frozenset()


# Summaries


@pytest.mark.parametrize("demand", [SUMMARIZE, HYBRID])
def test_a_summary_stands_for_what_leaves_and_has_its_room(demand: Demand) -> None:
    made = planned([SYSTEM, *turns(4)], demand)
    assert made.summarised
    assert made.predicted == total(made.kept) + demand.summary_tokens


def test_an_earlier_summary_is_folded_in() -> None:
    earlier = message(800, "system", "Before.", summary_of=("x",))
    made = planned([SYSTEM, earlier, *turns(4)], HYBRID)
    assert made.leaving[0] is earlier
    assert numbers(made.kept) == [900, 6, 7]


def test_truncation_leaves_earlier_summaries_where_they_are() -> None:
    earlier = message(800, "system", "Before.", summary_of=("x",))
    made = planned([SYSTEM, earlier, *turns(4)], TRUNCATE)
    assert numbers(made.kept) == [900, 800, 6, 7]


def test_an_earlier_summary_alone_is_not_summarised_again() -> None:
    earlier = message(800, "system", "Before. " * 200, summary_of=("x",))
    assert plan(weighed([SYSTEM, earlier, *turns(1)]), HYBRID) is None


def test_a_summary_that_would_be_no_gain_is_not_planned() -> None:
    made = plan(weighed(turns(2, size=40)), attrs.evolve(SUMMARIZE, summary_tokens=200))
    assert made is not None
    assert made.leaving
    assert not made.summarised


def test_where_a_summary_is_no_gain_masks_are_taken_alone() -> None:
    window = [*loop(1, size=4000, start=0), message(10, "assistant", "There."), *turns(1)]
    made = planned(window, attrs.evolve(HYBRID, summary_tokens=2000))
    assert (made.leaving, positions(window, made.masked)) == ((), [2])


def test_the_summary_takes_the_place_of_what_left() -> None:
    pin = message(700, "user", "Never use tabs.")
    window = [SYSTEM, pin, *turns(3)]
    made = planned(window, HYBRID, pinned=frozenset({pin.id}), carried=frozenset({pin.id}))
    summary = message(999, "system", "Much was said.", summary_of=("x",))
    assert numbers(made.window(summary)) == [900, 700, 999, 4, 5]
    assert made.window() == made.kept


# Pins


def test_the_pins_of_what_leaves_are_carried() -> None:
    window = turns(3)
    made = planned(window, TRUNCATE, pinned=frozenset({window[0].id, window[5].id}))
    assert numbers(made.kept) == [0, 4, 5]
    assert made.carried == {window[0].id}
    assert made.predicted == total(made.kept) + CARRIED_HEADING_TOKENS


def test_pins_that_are_carried_stay_carried() -> None:
    window = turns(3)
    pins = frozenset({window[0].id})
    made = planned(window, TRUNCATE, pinned=pins, carried=pins)
    assert (numbers(made.kept), made.carried) == ([0, 4, 5], pins)


def test_what_is_carried_and_pinned_no_more_leaves_first() -> None:
    window = turns(3)
    carried = frozenset({window[0].id})
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 1), carried=carried)
    assert (numbers(made.leaving), made.carried) == ([0], frozenset())


def test_a_pinned_result_is_not_masked() -> None:
    window = [*loop(2, start=0), message(10, "assistant", "There."), *turns(1, start=20)]
    made = planned(window, attrs.evolve(TRUNCATE, target=total(window) - 1), pinned=frozenset({window[2].id}))
    assert positions(window, made.masked) == [4]


def test_the_call_of_a_pinned_result_stays_with_it() -> None:
    window = [message(0, "user", "w" * 400), *tool_round(1, 1000), message(3, "assistant"), *turns(1, start=10)]
    made = planned(window, TRUNCATE, pinned=frozenset({window[2].id}))
    assert numbers(made.kept) == [1, 2, 10, 11]
    assert made.carried == {window[1].id, window[2].id}


# One long turn


def test_a_tool_loop_is_cut_between_its_rounds_and_keeps_its_question() -> None:
    window = loop(6)
    kept = [window[0], *window[-6:]]
    made = planned(window, attrs.evolve(SUMMARIZE, target=total(kept) + SUMMARIZE.summary_tokens))
    assert made.kept == tuple(kept)
    assert made.summarised


def test_the_results_of_a_long_loop_are_masked_before_its_rounds_leave() -> None:
    window = loop(6)
    made = planned(window, attrs.evolve(HYBRID, target=total(window) - 700))
    assert made.leaving == ()
    assert positions(window, made.masked) == [2, 4]


def test_the_newest_round_of_a_loop_stays_as_it_is() -> None:
    window = loop(4)
    made = planned(window, attrs.evolve(HYBRID, target=0, ceiling=0))
    assert made.kept == (window[0], *window[-2:])
    assert made.masked == frozenset()


def test_a_last_turn_of_several_rounds_stays_whole_while_older_turns_are_enough() -> None:
    window = [*turns(3), *loop(3)]
    made = planned(window, TRUNCATE)
    assert made.kept == tuple(window[6:])
    assert made.masked == frozenset()


def test_the_newest_tokens_of_a_loop_stay_as_they_are() -> None:
    window = loop(6)
    made = planned(window, attrs.evolve(TRUNCATE, target=0, preserve_recent=2 * cost(window[2])))
    assert made.kept == (window[0], *window[-4:])
    assert made.masked == frozenset()


# Where the next request would not fit


def test_preserved_results_are_masked_only_where_the_ceiling_needs_it() -> None:
    window = [*turns(2), *loop(2), message(110, "assistant", "There."), message(111, "user", "And now?")]
    recent = attrs.evolve(TRUNCATE, target=100, preserve_recent=10_000)
    assert plan(weighed(window), recent) is None
    made = planned(window, attrs.evolve(recent, ceiling=total(window) - 300))
    assert (made.leaving, positions(window, made.masked)) == ((), [6])


def test_preserved_turns_leave_where_masks_do_not_reach_the_ceiling() -> None:
    window = turns(6)
    demand = attrs.evolve(TRUNCATE, target=100, preserve_recent=10_000, ceiling=total(window[6:]))
    assert planned(window, demand).kept == tuple(window[6:])


def test_what_leaves_anyway_leaves_before_preserved_results_are_masked() -> None:
    window = [*turns(2), *loop(2), message(110, "assistant", "There."), message(111, "user", "And now?")]
    recent = sum(map(cost, window[4:]))
    made = planned(window, attrs.evolve(TRUNCATE, target=0, preserve_recent=recent, ceiling=recent - 100))
    assert made.leaving == tuple(window[:4])
    assert positions(window, made.masked) == [6]


def test_truncation_makes_no_summary_for_a_ceiling() -> None:
    window = turns(6)
    demand = attrs.evolve(TRUNCATE, preserve_recent=10_000, ceiling=total(window[4:]), summary_tokens=1)
    assert not planned(window, demand).summarised


def test_the_last_turn_gives_its_rounds_where_nothing_else_is_left() -> None:
    window = [*turns(1), *loop(4)]
    last_round = [window[2], *window[-2:]]
    demand = attrs.evolve(SUMMARIZE, target=100, preserve_recent=10_000, ceiling=total(last_round) + 20)
    made = planned(window, demand)
    assert made.kept == tuple(last_round)
    assert made.summarised


def test_a_summary_is_given_up_where_its_room_is_needed() -> None:
    earlier = message(800, "system", "Before.", summary_of=("x",))
    window = [earlier, *turns(3)]
    made = planned(window, attrs.evolve(HYBRID, target=0, ceiling=total([earlier, *window[-2:]]), summary_tokens=90))
    assert (made.summarised, numbers(made.kept)) == (False, [800, 4, 5])


def test_earlier_summaries_leave_only_where_the_ceiling_is_not_reached_otherwise() -> None:
    earlier = message(800, "system", "Before. " * 40, summary_of=("x",))
    window = [SYSTEM, earlier, *turns(3)]
    newest = [SYSTEM, *window[-2:]]
    reachable = planned(window, attrs.evolve(TRUNCATE, target=0, ceiling=total([earlier, *newest])))
    assert earlier in reachable.kept
    hard = planned(window, attrs.evolve(TRUNCATE, target=0, ceiling=total(newest)))
    assert (hard.kept, hard.summarised) == (tuple(newest), False)


def test_a_ceiling_above_what_is_reached_changes_nothing() -> None:
    window = [*turns(4), *loop(2)]
    demand = attrs.evolve(HYBRID, target=total(window) // 2, preserve_recent=200)
    assert plan(weighed(window), demand) == plan(weighed(window), attrs.evolve(demand, ceiling=total(window) - 1))


# Speed


def test_a_plan_for_four_times_the_messages_takes_no_more_than_eight_times_as_long() -> None:
    def seconds(count: int) -> float:
        window = weighed([m for number in range(count) for m in loop(2, start=10 * number)])
        demand = attrs.evolve(HYBRID, target=window.tokens // 4, ceiling=1)
        runs = []
        for _ in range(5):
            begun = time.process_time()
            plan(window, demand)
            runs.append(time.process_time() - begun)
        return min(runs)

    assert seconds(800) < 8 * seconds(200)


def test_what_was_not_said_by_anyone_is_no_turn() -> None:
    assert plan(weighed([*talk("system", "system"), message(3, "system", summary_of=("x",))]), TRUNCATE) is None
