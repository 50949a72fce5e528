"""Which model answers, on which server, how its prompts are counted, and how large its window really is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from attrs import Factory, define

from ullage.contexts.active_model import ActiveModel, SizeChoice
from ullage.contexts.counters import CounterChoice
from ullage.contexts.values import Model
from ullage.errors import ModelUnavailable, ProviderError, ProviderUnavailable, UllageError, WindowExceeded
from ullage.providers.base import ModelInfo, Provider
from ullage.providers.discovery import Discovery, discover
from ullage.settings import Settings
from ullage.store.records import ContextRecord
from ullage.tokens.calibration import Calibration

logger = logging.getLogger(__name__)

WINDOW_FRESH_S = 10.0
WINDOW_KEPT_S = 600.0
"""How long a server's answer about its window is taken as current, and how long it may still be used while it is being
renewed. A server that was restarted with a smaller window in between refuses the prompt, and tells it then."""

RECHOICE_PAUSE_S = 60.0
"""For how long a tokenizer that failed again is left alone."""

QUIET_S = 5.0
"""For how long nobody is asked again by those who only count or show, after no server was found."""


class ChooseCounter(Protocol):
    """Makes the counter of a model, see `ullage.contexts.counters`."""

    async def __call__(
        self, provider: Provider, model: str, calibration: Calibration, *, verified: bool
    ) -> CounterChoice: ...


class FactorStore(Protocol):
    """Where learnt factors survive a restart."""

    async def load(self, key: str) -> float | None: ...

    async def save(self, key: str, factor: float) -> None: ...


async def _unprepared(_: ActiveModel) -> None:
    """Until somebody decides sizes, a model keeps what it is planned with."""


@define(eq=False)
class Models:
    """Finds servers and models, and keeps what was learnt of them. Nothing is asked before somebody needs it."""

    build: Callable[[], Awaitable[Sequence[Provider]]]
    choose_counter: ChooseCounter
    factors: FactorStore
    settings: Callable[[], Settings]
    prepare: Callable[[ActiveModel], Awaitable[None]] = _unprepared
    _providers: Sequence[Provider] | None = None
    _found: Discovery | None = None
    _active: dict[tuple[str, str], ActiveModel] = Factory(dict)
    _default: tuple[str, str] | None = None
    _missed: dict[tuple[str, str] | None, float] = Factory(dict)
    _answering: Counter[Provider] = Factory(Counter)
    _mutex: asyncio.Lock = Factory(asyncio.Lock)

    def known(self, record: ContextRecord | None) -> ActiveModel | None:
        """The context's model if it was looked up before; never waits. Without a context: the default one."""
        chosen = _choice(record) or self._default
        return self._active.get(chosen) if chosen else None

    async def active(self, record: ContextRecord | None) -> ActiveModel:
        """The context's own model; where none was ever chosen, the first that a server offers.

        Raises ProviderUnavailable, naming what was tried, or ModelUnavailable.
        """
        if (found := self.known(record)) is not None:
            return found
        async with self._mutex:
            if (found := self.known(record)) is not None:
                return found
            choice = _choice(record)
            provider, info = await (self._chosen(*choice) if choice else self._first())
            active = await self._activate(provider, info)
            if choice is None:
                self._default = (provider.name, info.name)
            return active

    async def active_if_any(self, record: ContextRecord | None) -> ActiveModel | None:
        """The same for those who can do without a model; where none was found just now, nobody is asked again."""
        if (found := self.known(record)) is not None:
            return found
        choice = _choice(record)
        if time.monotonic() - self._missed.get(choice, float("-inf")) < QUIET_S:
            return None
        try:
            return await self.active(record)
        except UllageError:
            self._missed[choice] = time.monotonic()
            return None

    async def find(self, name: str) -> ActiveModel:
        """The model of this name on the first server that offers it. Raises like `active`."""
        async with self._mutex:
            discovery = await self._discovery()
            if not discovery.providers:
                raise _nobody(discovery)
            for provider in discovery.providers:
                info = next((m for m in await _models_of(provider) if m.name == name), None)
                if info is not None:
                    return self._active.get((provider.name, name)) or await self._activate(provider, info)
        raise ModelUnavailable("No model server here offers a model of this name. Choose one from the list of models.")

    def named(self, name: str) -> ActiveModel | None:
        """The model of this name that is in use, where there is just one: for questions that can't wait for servers to
        list theirs."""
        found = [active for (_, model), active in self._active.items() if model == name]
        return found[0] if len(found) == 1 else None

    async def offered(self) -> list[Model]:
        """Every model of every server that answers now."""
        async with self._mutex:
            self._found = None
            discovery = await self._discovery()
        lists = await asyncio.gather(*(_models_of(provider) for provider in discovery.providers))
        return [
            Model(m.name, provider.name, m.loaded, m.context_length, m.allocated_context, m.size_bytes)
            for provider, models in zip(discovery.providers, lists, strict=True)
            for m in models
        ]

    async def limit(self, active: ActiveModel) -> int | None:
        """The window in tokens. An answer that is not fresh any more is renewed behind the back of who asks, since a
        person waits for the first token; one that is old, or was never had, is waited for, and so is a resize."""
        async with active.resizing:
            pass
        age = time.monotonic() - active.asked_at
        if age > WINDOW_KEPT_S:
            await self._ask_window(active)
        elif age > WINDOW_FRESH_S and active.asking is None:
            active.asking = asyncio.create_task(self._ask_quietly(active))
        return active.limit

    async def _ask_window(self, active: ActiveModel) -> None:
        active.window = await active.provider.window(active.name)
        active.asked_at = time.monotonic()

    async def _ask_quietly(self, active: ActiveModel) -> None:
        try:
            await self._ask_window(active)
        except UllageError as error:
            logger.info("The window of %s could not be asked for: %s", active.key, error.kind)
        finally:
            active.asking = None

    async def window_after_answer(self, active: ActiveModel) -> None:
        """A server that allocates at the first request can tell its window now."""
        if active.window is None:
            await self._ask_quietly(active)

    def learnt_limit(self, active: ActiveModel, limit: int) -> None:
        """A refusal told the window."""
        active.window, active.asked_at = limit, time.monotonic()

    def in_use(self) -> list[ActiveModel]:
        """The models that this process has to do with."""
        return list(self._active.values())

    def resized(self, active: ActiveModel, tokens: int) -> None:
        """A model has another size from now on; one that is loaded tells its own at the next question."""
        active.planned = tokens
        if active.window is not None:
            active.window, active.asked_at = tokens, float("-inf")

    def unloaded(self, active: ActiveModel) -> None:
        active.window, active.asked_at = None, time.monotonic()

    async def remember_choice(self, active: ActiveModel) -> None:
        """Keep what the person decided of a model's size through restarts."""
        if active.choice is not None:
            await self.factors.save(f"auto-size/{active.key}", float(active.choice.auto))
            await self.factors.save(f"size/{active.key}", float(active.choice.tokens or 0))

    async def remember_given(self, active: ActiveModel, tokens: int) -> None:
        """Keep what size we gave a model: it is ours to change, also after a restart."""
        if active.given != tokens:
            active.given = tokens
            await self.factors.save(f"given/{active.key}", float(tokens))

    async def _choice_of(self, key: str) -> SizeChoice | None:
        auto = await self.factors.load(f"auto-size/{key}")
        if auto is None:
            return None
        return SizeChoice(bool(auto), int(await self.factors.load(f"size/{key}") or 0) or None)

    async def learn(self, active: ActiveModel, *, reported: int, counted: int) -> None:
        """Take the server's own count of a prompt, and ours without the person's multiplier, which is not to be learnt.

        It corrects what we estimate from now on, also after a restart. A count that claimed to be exact and was not is
        replaced by one that the server agrees with, and one that was chosen while the server failed by a better one.
        """
        if active.provisional and time.monotonic() - active.chosen_again_at > RECHOICE_PAUSE_S:
            active.chosen_again_at = time.monotonic()
            await self._choose_again(active, verified=False)
            return
        if active.exact:
            if reported != counted:
                await self._recount(active)
            return
        calibration = active.calibration.observed(reported, counted)
        if calibration != active.calibration:
            active.calibration = calibration
            active.counter = active.counter.calibrated(calibration)
            await self.factors.save(active.key, calibration.factor)

    async def watched(self, active: ActiveModel, work: Awaitable[None]) -> None:
        """Await work with a model's server, which is not closed meanwhile; where it fails, servers are looked for anew
        at the next request."""
        self._answering[active.provider] += 1
        active.answers += 1
        try:
            await work
        except WindowExceeded:
            raise
        except (ProviderError, ProviderUnavailable):
            self._forget(active)
            raise
        finally:
            active.answers -= 1
            await self._answered(active.provider)

    async def _answered(self, provider: Provider) -> None:
        """The last answer of a server that the settings name no more closes it."""
        self._answering[provider] -= 1
        if not self._answering[provider]:
            del self._answering[provider]
            if provider not in (self._providers or ()):
                await _close([provider])

    def _forget(self, active: ActiveModel) -> None:
        self._found = None
        active.asked_at = float("-inf")
        if self._default == (active.provider.name, active.name):
            self._default = None

    async def reset(self, *, keep_servers: bool = False) -> None:
        """Forget what was found out under other settings. Servers too are others now, unless they are kept; one that is
        answering is closed when it has answered."""
        async with self._mutex:
            self._active.clear()
            self._missed.clear()
            self._default = None
            if not keep_servers:
                idle = [provider for provider in self._providers or () if provider not in self._answering]
                self._providers = self._found = None
                await _close(idle)

    async def close(self) -> None:
        await _close({*(self._providers or ()), *self._answering})

    async def _chosen(self, provider_name: str, model: str) -> tuple[Provider, ModelInfo]:
        """The person's choice, never another one in its place."""
        same_kind = [p for p in await self._built() if p.name == provider_name]
        answers = await asyncio.gather(*(provider.probe() for provider in same_kind))
        answering = [provider for provider, answered in zip(same_kind, answers, strict=True) if answered]
        if not answering:
            tried = [f"{p.name} at {p.address}" for p in same_kind]
            raise ProviderUnavailable(
                f"The model server of this context does not answer ({', '.join(tried) or provider_name}). Start it and"
                " try again, or choose another model.",
                tried=tried,
            )
        for provider in answering:
            info = next((m for m in await provider.models() if m.name == model), None)
            if info is not None:
                return provider, info
        raise ModelUnavailable(
            f"{provider_name} at {answering[0].address} no longer offers this context's model. Load it there, or choose"
            " another model."
        )

    async def _first(self) -> tuple[Provider, ModelInfo]:
        """The first server that offers a model, and of its models one that is loaded already, else the first."""
        discovery = await self._discovery()
        if not discovery.providers:
            raise _nobody(discovery)
        best = discovery.providers[0]
        failure: UllageError = ModelUnavailable(
            f"{best.name} at {best.address} answers, but offers no model. Load one there first."
        )
        for provider in discovery.providers:
            try:
                models = await provider.models()
            except UllageError as error:
                failure = error
                continue
            if models:
                return provider, next((m for m in models if m.loaded), models[0])
        self._found = None
        raise failure

    async def _recount(self, active: ActiveModel) -> None:
        logger.warning("%s counts otherwise than the model's own vocabulary; the two are compared.", active.key)
        await self._choose_again(active, verified=True)

    async def _choose_again(self, active: ActiveModel, *, verified: bool) -> None:
        choice = await self.choose_counter(active.provider, active.name, active.calibration, verified=verified)
        active.counter, active.provisional = choice.counter, choice.provisional

    async def _activate(self, provider: Provider, info: ModelInfo) -> ActiveModel:
        key = f"{provider.name}/{info.name}"
        calibration = Calibration(await self.factors.load(key) or 1.0)
        choice = await self.choose_counter(provider, info.name, calibration, verified=False)
        planned = provider.planned_window(info.name)
        if planned is None and provider.sizes_by_request:
            planned = _planned_size(self.settings(), info)
        multiplier = self.settings().tokens.multiplier(info.name)
        active = ActiveModel(
            provider, info, choice.counter, calibration, planned, multiplier, provisional=choice.provisional
        )
        active.choice = await self._choice_of(key)
        active.given = int(await self.factors.load(f"given/{key}") or 0) or None
        await self._ask_quietly(active)
        self._active[provider.name, info.name] = active
        try:
            await self.prepare(active)
        except UllageError as error:
            logger.info("The size of %s could not be decided: %s", key, error.kind)
        return active

    async def _discovery(self) -> Discovery:
        if self._found is None or not self._found.providers:
            self._found = await discover(await self._built(), self.settings().providers.default)
        return self._found

    async def _built(self) -> Sequence[Provider]:
        if self._providers is None:
            self._providers = await self.build()
        return self._providers


async def _close(providers: Collection[Provider]) -> None:
    await asyncio.gather(*(provider.close() for provider in providers), return_exceptions=True)


def _nobody(discovery: Discovery) -> ProviderUnavailable:
    return ProviderUnavailable(f"No model server answers. {discovery.advice}", tried=list(discovery.tried))


def _planned_size(settings: Settings, info: ModelInfo) -> int:
    """The target size within the person's bounds and the model's own."""
    context = settings.context
    size = max(context.target_size or info.context_length or context.min_size, context.min_size)
    return min([size, *(bound for bound in (context.max_size, info.context_length) if bound)])


def _choice(record: ContextRecord | None) -> tuple[str, str] | None:
    """The provider and model that the person chose for this context, if ever."""
    if record is None or record.provider is None or record.model is None:
        return None
    return record.provider, record.model


async def _models_of(provider: Provider) -> list[ModelInfo]:
    try:
        return list(await provider.models())
    except UllageError as error:
        logger.info("%s did not list its models: %s", provider.name, error.kind)
        return []
