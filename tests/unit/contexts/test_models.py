"""What is known of model servers, and what becomes of it when they fail or the settings change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from attrs import define, field

from support.stub_http import SERVER_ERROR
from support.stub_servers import LlamaCppStub
from ullage.contexts import models as models_module
from ullage.contexts.active_model import ActiveModel
from ullage.contexts.counters import Counters
from ullage.contexts.models import Models
from ullage.errors import ProviderError
from ullage.providers.base import Provider
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.settings import ProviderSettings, Settings


class Factors:
    """Nothing was learnt, and nothing is kept."""

    async def load(self, key: str) -> float | None:
        return None

    async def save(self, key: str, factor: float) -> None:
        pass


class Closable(LlamaCppProvider):
    closed = 0

    async def close(self) -> None:
        self.closed += 1
        await super().close()


@define(eq=False)
class Place:
    """One stub, and every provider that was made for it."""

    stub: LlamaCppStub
    models: Models = field(init=False)
    built: list[Closable] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        settings = Settings(providers=ProviderSettings(default="llamacpp"))
        self.models = Models(self._build, Counters(lambda: settings).choose, Factors(), lambda: settings)

    async def _build(self) -> Sequence[Provider]:
        self.built.append(Closable(self.stub.url))
        return self.built[-1:]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with LlamaCppStub() as stub:
        place = Place(stub)
        yield place
        await place.models.close()


async def answered(models: Models, active: ActiveModel) -> None:
    await models.learn(active, reported=10, counted=10)


class TestTokenizersThatFail:
    async def test_one_failure_at_the_start_costs_exactness_until_the_next_answer_only(self, place: Place) -> None:
        place.stub.fail("/tokenize", SERVER_ERROR)
        active = await place.models.active(None)
        sources = [active.counter.source]
        await answered(place.models, active)
        sources.append(active.counter.source)
        assert sources == ["tiktoken", "provider"]

    async def test_a_template_that_was_not_told_is_asked_for_again(self, place: Place) -> None:
        place.stub.fail("/props", SERVER_ERROR, SERVER_ERROR)
        active = await place.models.active(None)
        assert not active.counter.additive
        await answered(place.models, active)
        assert active.counter.additive

    async def test_a_tokenizer_that_goes_on_failing_is_left_alone_for_a_while(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.stub.fail("/tokenize", *[SERVER_ERROR] * 10)
        active = await place.models.active(None)
        for _ in range(5):
            await answered(place.models, active)
        assert len(place.stub.sent("/tokenize")) == 2
        monkeypatch.setattr(models_module, "RECHOICE_PAUSE_S", 0)
        await answered(place.models, active)
        assert len(place.stub.sent("/tokenize")) == 3

    async def test_a_counter_that_was_chosen_in_peace_stays(self, place: Place) -> None:
        active = await place.models.active(None)
        chosen = active.counter
        await answered(place.models, active)
        assert active.counter is chosen


class TestResets:
    async def test_idle_servers_are_closed_and_built_anew(self, place: Place) -> None:
        before = await place.models.active(None)
        await place.models.reset()
        assert place.models.known(None) is None
        assert (await place.models.active(None)).provider is not before.provider
        assert [provider.closed for provider in place.built] == [1, 0]

    async def test_an_answer_on_its_way_keeps_its_server_to_the_end(self, place: Place) -> None:
        active = await place.models.active(None)
        gate = asyncio.Event()
        answering = asyncio.create_task(place.models.watched(active, waiting_for(gate)))
        await asyncio.sleep(0)
        await place.models.reset()
        await place.models.active(None)
        assert [provider.closed for provider in place.built] == [0, 0]
        gate.set()
        await answering
        assert [provider.closed for provider in place.built] == [1, 0]

    async def test_of_two_answers_the_last_one_closes_the_server(self, place: Place) -> None:
        active = await place.models.active(None)
        gates = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(place.models.watched(active, waiting_for(gate))) for gate in gates]
        await asyncio.sleep(0)
        await place.models.reset()
        gates[0].set()
        await tasks[0]
        assert place.built[0].closed == 0
        gates[1].set()
        await tasks[1]
        assert place.built[0].closed == 1

    async def test_an_answer_that_fails_or_is_cancelled_closes_it_too(self, place: Place) -> None:
        async def failing() -> None:
            await place.models.reset()
            raise ProviderError("It broke off.")

        active = await place.models.active(None)
        with pytest.raises(ProviderError):
            await place.models.watched(active, failing())
        assert place.built[0].closed == 1

    async def test_servers_whose_settings_did_not_change_are_kept(self, place: Place) -> None:
        before = await place.models.active(None)
        await place.models.reset(keep_servers=True)
        after = await place.models.active(None)
        assert after is not before
        assert after.provider is before.provider
        assert place.built[0].closed == 0

    async def test_at_the_end_servers_that_are_still_answering_are_closed_too(self, place: Place) -> None:
        active = await place.models.active(None)
        answering = asyncio.create_task(place.models.watched(active, waiting_for(asyncio.Event())))
        await asyncio.sleep(0)
        await place.models.reset()
        await place.models.close()
        assert place.built[0].closed == 1
        answering.cancel()


async def waiting_for(event: asyncio.Event) -> Any:
    await event.wait()
