"""What the protocol does not tell, so that `ullage doctor` looks it up itself: versions, settings, the storage folder,
and which model servers were tried."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

from ullage import __version__
from ullage.app.configuration import Configuration, user_file
from ullage.app.servers import build_providers
from ullage.cli.doctor_findings import Embedded, ModelServer, SettingTrouble, Trouble
from ullage.errors import UllageError
from ullage.providers.base import Provider
from ullage.providers.embedded import bundled_model, engine_is_installed
from ullage.settings import ENVIRONMENT, Problem, Resolved, Settings
from ullage.store.folder import open_folder
from ullage.store.survey import Survey, sqlite_version, survey

PACKAGES = ("pygls", "lsprotocol", "xllamacpp")
"""The protocol's machinery and the binding of llama.cpp."""


def configuration(environment: Mapping[str, str]) -> Resolved:
    """The settings as a server resolves them that no editor has told anything."""
    sources = Configuration(dict(environment))
    sources.start({})
    return sources.resolved


def versions() -> dict[str, str | None]:
    """None: not installed."""
    own = {"ullage": __version__, "python": platform.python_version(), "sqlite": sqlite_version()}
    return own | {package: package_version(package) for package in PACKAGES}


def package_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def embedded(settings: Settings) -> Embedded:
    named = settings.providers.embedded.model
    bundled = bundled_model()
    engine = (package_version("xllamacpp") or "unknown") if engine_is_installed() else None
    return Embedded(engine, os.path.basename(named) if named else bundled.name if bundled else None)  # noqa: PTH119  # a name, in whatever form


def storage(settings: Settings) -> Survey | Trouble:
    """The folder as it stands once the server has used it, or why it can't be used."""
    try:
        return survey(open_folder(settings.storage_directory))
    except UllageError as error:
        return Trouble("storage", error.message)


def setting_troubles(resolved: Resolved, environment: Mapping[str, str]) -> tuple[SettingTrouble, ...]:
    return tuple(
        SettingTrouble(problem.path, problem.source, problem.reason, _place(problem, environment))
        for problem in resolved.problems
    )


async def servers_tried(resolved: Resolved) -> tuple[ModelServer, ...] | Trouble:
    """Every model server that Ullage looks for, and whether it answers: GETs alone, within two seconds."""
    try:
        providers = await asyncio.to_thread(build_providers, resolved.settings)
    except UllageError as error:
        return Trouble("settings", error.message)
    try:
        return await _asked(providers, resolved)
    finally:
        await asyncio.gather(*(provider.close() for provider in providers), return_exceptions=True)


async def _asked(providers: Sequence[Provider], resolved: Resolved) -> tuple[ModelServer, ...]:
    answers = await asyncio.gather(*(provider.probe() for provider in providers))
    return tuple(
        ModelServer(provider.name, provider.address, answers=answered, setting=_setting_naming(provider.name, resolved))
        for provider, answered in zip(providers, answers, strict=True)
    )


def _setting_naming(provider: str, resolved: Resolved) -> str | None:
    """The setting by which a person asked for this server, if one did; with a choice made, no other kind is used."""
    choice = resolved.settings.providers.default
    if choice != "auto":
        return "providers.default" if choice == provider else None
    paths = (f"providers.{provider}.url", f"providers.{provider}.model")
    return next((path for path in paths if path in resolved.origins), None)


def _place(problem: Problem, environment: Mapping[str, str]) -> str:
    if problem.source == "environment":
        names = [
            name for name, path in ENVIRONMENT.items() if path == problem.path and environment.get(name, "").strip()
        ]
        return f"the environment variable {names[0]}" if names else "the environment"
    return str(user_file())
