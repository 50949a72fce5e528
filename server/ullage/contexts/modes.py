"""Modes: named personas from the settings, each a system prompt and a preferred model.

What a mode brings is taken when the mode is chosen, and is the context's own from then on: a setting that changes later
rewrites no conversation's rules and moves no conversation to another model. Choosing the mode once more takes it anew.
"""

from __future__ import annotations

import logging
from typing import Any

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.models import Models
from ullage.errors import InvalidArgument, ModelUnavailable, UllageError
from ullage.settings import Mode, Settings
from ullage.store.records import ContextRecord

logger = logging.getLogger(__name__)


def persona(settings: Settings, name: str) -> Mode:
    """Raises InvalidArgument, which lists the modes that there are."""
    if name not in settings.modes:
        known = ", ".join(sorted(settings.modes)) or "none yet"
        raise InvalidArgument(f"There is no mode of this name in the settings (there are: {known}).", "mode")
    return settings.modes[name]


def in_mode(record: ContextRecord, mode: str | None, chosen: Mode) -> dict[str, Any]:
    """The changes that a mode makes to a context's record, None: no mode any more. The person's own system prompt is
    put by while a mode's is in force, and comes back after it."""
    own = record.system_prompt if record.mode is None else record.own_prompt
    in_force = own if chosen.system_prompt is None else chosen.system_prompt
    return {"mode": mode, "system_prompt": in_force, "own_prompt": own if mode else None}


async def preferred_model(models: Models, mode: Mode) -> ActiveModel | None:
    """The mode's model, None where it names none. Raises ModelUnavailable, or ProviderUnavailable where no server
    answers."""
    if mode.model is None:
        return None
    try:
        return await models.find(mode.model)
    except ModelUnavailable:
        raise ModelUnavailable(
            f"The mode's model, {mode.model}, is offered by no model server here, so the mode was not taken on. Load"
            " the model there, or name another one in the mode's settings."
        ) from None


async def preferred_model_if_offered(models: Models, mode: Mode) -> ActiveModel | None:
    """The same for opening, which never fails for want of a model server."""
    try:
        return await preferred_model(models, mode)
    except UllageError as error:
        logger.warning("The model of a context's mode could not be had, so the context opens without: %s", error.kind)
        return None
