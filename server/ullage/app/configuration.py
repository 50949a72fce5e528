"""Where settings come from: the person's file, the editor, the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ullage.settings import Layer, Problem, Resolved, Settings, from_environment, resolve

LARGEST_FILE = 2**20


@define
class Configuration:
    """The sources as they stand, and the tree that they make. Every change resolves the whole tree anew."""

    environment: Mapping[str, str] = Factory(lambda: dict(os.environ))
    resolved: Resolved = Factory(lambda: resolve([]))
    _editor: list[Layer] = Factory(list)
    _file: dict[str, Any] | None = None
    _file_problems: tuple[Problem, ...] = ()

    @property
    def settings(self) -> Settings:
        return self.resolved.settings

    def start(self, options: object) -> None:
        """Take the initialisation options, and read the person's file."""
        self._file, self._file_problems = read_user_file(user_file())
        self._editor = [("editor", _tree(options))]
        self._resolve()

    def change(self, section: object) -> None:
        """Take the editor's settings; what came with initialisation stays below them."""
        self._editor = [*self._editor[:1], ("editor", _tree(section))]
        self._resolve()

    def _resolve(self) -> None:
        environment: Layer = ("environment", from_environment(self.environment))
        resolved = resolve([("user file", self._file or {}), *self._editor, environment])
        self.resolved = Resolved(resolved.settings, resolved.origins, self._file_problems + resolved.problems)


def user_file() -> Path:
    import platformdirs  # noqa: PLC0415  # start-up: only needed when a client connects

    return Path(platformdirs.user_config_dir("ullage", appauthor=False)) / "config.yaml"


def read_user_file(path: Path) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The settings tree of a YAML file; none where there is no file. What can't be read is a problem, not an error."""
    try:
        return _parsed(path), ()
    except FileNotFoundError:
        return {}, ()
    except OSError:
        reason = "the file can't be read"
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _NoSettings) else "the file is not valid YAML"
    return {}, (Problem(path.name, "user file", f"{reason}; its settings are not in force"),)


class _NoSettings(ValueError):
    """The file can be read, but is no tree of settings."""


def _parsed(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise _NoSettings("the file is over 1 MiB")
    import yaml  # noqa: PLC0415  # start-up: only where there is a file

    try:
        tree = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise _NoSettings("the file must hold a table of settings")
    return {str(key): value for key, value in tree.items()}


def _tree(value: object) -> dict[str, Any]:
    """A client's settings; editors send ``null`` for what nobody has set."""
    if not isinstance(value, Mapping):
        return {}
    tree = {}
    for key, entry in value.items():
        if entry is not None:
            tree[str(key)] = _tree(entry) if isinstance(entry, Mapping) else entry
    return tree
