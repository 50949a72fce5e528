"""Modes: what choosing one brings to a context, and what stays the person's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.talking import WORKSPACE, Talking, talking
from ullage.errors import InvalidArgument, ModelUnavailable, ProviderUnavailable
from ullage.settings import Mode
from ullage.store.records import ContextRecord

REVIEWER = Mode("Review with care.", "small")
POET = Mode("Rhyme.", "large")
PLAIN = Mode("Be plain.")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Talking]:
    async with talking(tmp_path, "small", "large", "other") as place:
        place.set_modes(reviewer=REVIEWER, poet=POET, plain=PLAIN)
        yield place


async def record(place: Talking, context_id: str) -> ContextRecord:
    return (await place.sessions.get(context_id)).state.record


async def taken(place: Talking, context_id: str) -> tuple[str | None, str | None, str | None]:
    """Mode, system prompt and model."""
    found = await record(place, context_id)
    return found.mode, found.system_prompt, found.model


class TestOpening:
    async def test_a_new_context_takes_the_modes_prompt_and_model(self, place: Talking) -> None:
        context = await place.directory.open(WORKSPACE, mode="reviewer")
        assert (context.mode, context.model) == ("reviewer", "small")
        assert await taken(place, context.id) == ("reviewer", "Review with care.", "small")

    async def test_a_context_of_another_mode_takes_the_new_one_and_tells_of_the_model(self, place: Talking) -> None:
        context_id = await place.open(mode="reviewer")
        await place.open(mode="poet")
        assert await taken(place, context_id) == ("poet", "Rhyme.", "large")
        assert place.told("modelChanged") == [{"model": "large", "provider": "ollama", "previous": "small"}]

    async def test_a_model_that_is_asked_for_goes_before_the_modes(self, place: Talking) -> None:
        context_id = await place.open(mode="reviewer", model="other")
        assert await taken(place, context_id) == ("reviewer", "Review with care.", "other")

    async def test_a_persons_later_choices_stay_when_the_mode_is_named_again(self, place: Talking) -> None:
        context_id = await place.open(mode="reviewer")
        await place.directory.select_model(context_id, "other")
        await place.directory.update(context_id, system_prompt="My own.")
        await place.open(mode="reviewer")
        assert await taken(place, context_id) == ("reviewer", "My own.", "other")

    async def test_a_model_that_nobody_offers_keeps_no_context_from_opening(self, place: Talking) -> None:
        place.server.is_away = True
        context_id = await place.open(mode="reviewer")
        assert await taken(place, context_id) == ("reviewer", "Review with care.", None)

    async def test_it_is_tried_again_while_the_context_has_no_model(self, place: Talking) -> None:
        place.server.is_away = True
        context_id = await place.open(mode="reviewer")
        place.server.is_away = False
        await place.open(mode="reviewer")
        assert await taken(place, context_id) == ("reviewer", "Review with care.", "small")

    async def test_a_mode_without_a_model_looks_for_none(self, place: Talking) -> None:
        place.server.is_away = True
        context_id = await place.open(mode="plain")
        assert await taken(place, context_id) == ("plain", "Be plain.", None)

    async def test_an_unknown_mode_is_refused_with_the_names_that_there_are(self, place: Talking) -> None:
        with pytest.raises(InvalidArgument, match="plain, poet, reviewer") as caught:
            await place.open(mode="pirate")
        assert caught.value.path == "mode"
        assert await place.directory.all() == []


class TestChoosing:
    async def test_a_mode_brings_its_prompt_and_its_model(self, place: Talking) -> None:
        context_id = await place.open()
        context = await place.directory.update(context_id, mode="poet")
        assert (context.mode, context.model) == ("poet", "large")
        assert await taken(place, context_id) == ("poet", "Rhyme.", "large")
        assert [detail["model"] for detail in place.told("modelChanged")] == ["large"]

    async def test_a_mode_without_a_model_leaves_the_model(self, place: Talking) -> None:
        context_id = await place.open(model="other")
        await place.directory.update(context_id, mode="plain")
        assert await taken(place, context_id) == ("plain", "Be plain.", "other")
        assert place.told("modelChanged") == []

    async def test_choosing_it_once_more_takes_it_anew(self, place: Talking) -> None:
        context_id = await place.open(mode="reviewer")
        await place.directory.select_model(context_id, "other")
        await place.directory.update(context_id, system_prompt="My own.")
        await place.directory.update(context_id, mode="reviewer")
        assert await taken(place, context_id) == ("reviewer", "Review with care.", "small")

    async def test_a_prompt_that_comes_with_the_mode_is_the_persons_own(self, place: Talking) -> None:
        context_id = await place.open()
        await place.directory.update(context_id, mode="reviewer", system_prompt="My own.")
        assert await taken(place, context_id) == ("reviewer", "My own.", "small")

    async def test_leaving_a_mode_takes_its_prompt_away_and_leaves_the_model(self, place: Talking) -> None:
        context_id = await place.open(mode="reviewer")
        await place.directory.update(context_id, mode="")
        assert await taken(place, context_id) == (None, None, "small")

    @pytest.mark.parametrize("modes", [["plain"], ["plain", "reviewer"], ["plain", "plain"]])
    async def test_leaving_modes_gives_the_own_prompt_back(self, place: Talking, modes: list[str]) -> None:
        context_id = await place.open()
        await place.directory.update(context_id, system_prompt="My own.")
        for mode in modes:
            await place.directory.update(context_id, mode=mode)
        await place.directory.update(context_id, mode="")
        assert (await taken(place, context_id))[1] == "My own."

    async def test_a_prompt_that_was_written_in_a_mode_stays_after_it(self, place: Talking) -> None:
        context_id = await place.open(mode="plain")
        await place.directory.update(context_id, system_prompt="My own.")
        await place.directory.update(context_id, mode="")
        assert (await taken(place, context_id))[1] == "My own."

    async def test_a_model_that_nobody_offers_is_said_and_nothing_changes(self, place: Talking) -> None:
        context_id = await place.open(mode="poet")
        place.server.offers.remove("small")
        with pytest.raises(ModelUnavailable, match=r"small, is offered by no model server.*Load the model"):
            await place.directory.update(context_id, mode="reviewer", name="renamed")
        assert await taken(place, context_id) == ("poet", "Rhyme.", "large")
        assert (await record(place, context_id)).name == "main"

    async def test_a_server_that_is_away_is_said_and_nothing_changes(self, place: Talking) -> None:
        context_id = await place.open()
        place.server.is_away = True
        with pytest.raises(ProviderUnavailable):
            await place.directory.update(context_id, mode="reviewer")
        assert await taken(place, context_id) == (None, None, None)

    async def test_an_unknown_mode_is_refused_with_the_names_that_there_are(self, place: Talking) -> None:
        context_id = await place.open()
        with pytest.raises(InvalidArgument, match="plain, poet, reviewer"):
            await place.directory.update(context_id, mode="pirate")

    async def test_the_log_holds_the_names_and_not_the_prompt(self, place: Talking) -> None:
        context_id = await place.open()
        await place.directory.update(context_id, mode="reviewer")
        [*_, last] = await place.sessions.store.run(lambda store: store.operations([context_id], None, 10))
        assert last.operation.detail == {"mode": "reviewer", "provider": "ollama", "model": "small"}


async def test_settings_that_change_later_rewrite_no_contexts_prompt(place: Talking) -> None:
    context_id = await place.open(mode="reviewer")
    place.set_modes(reviewer=Mode("Be harsh.", "large"))
    await place.open(mode="reviewer")
    assert await taken(place, context_id) == ("reviewer", "Review with care.", "small")
    await place.directory.update(context_id, mode="reviewer")
    assert await taken(place, context_id) == ("reviewer", "Be harsh.", "large")


async def test_a_context_whose_mode_left_the_settings_goes_on_as_it_was(place: Talking) -> None:
    context_id = await place.open(mode="reviewer")
    place.set_modes()
    assert await place.open() == context_id
    assert await taken(place, context_id) == ("reviewer", "Review with care.", "small")
