"""Where settings come from, and the trees that they make: one for the process, one for each folder with a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ullage.app.settings_file import SettingsFile, workspace_file
from ullage.contexts.workspaces import normalise_uri
from ullage.errors import InvalidArgument
from ullage.settings import Layer, Problem, Resolved, Settings, from_environment, resolve


@define
class Configuration:
    """The sources as they stand, and what they make. Every change resolves all trees anew.

    From the weakest to the strongest: the person's ``config.yaml``, the ``.ullage.yaml`` of a workspace's folder, the
    editor, the environment, the session's commands. A folder's file counts for the contexts of that folder alone
    (``settings_for``). Servers, sizes and counting belong to the process, whose tree (``settings``) holds no folder's
    file, but for that of the only folder open: with several, none may decide for the others.

    What changes something returns what ``settings_for`` now answers differently: the URIs of folders, and None for the
    tree without any folder's file.
    """

    environment: Mapping[str, str] = Factory(lambda: dict(os.environ))
    _user: SettingsFile | None = None
    _folders: dict[str, SettingsFile | None] = Factory(dict)
    _editor: tuple[Layer, ...] = ()
    _commands: dict[str, Any] = Factory(dict)
    _trees: dict[str | None, Resolved] = Factory(lambda: {None: resolve([])})
    _told: frozenset[Problem] = frozenset()

    @property
    def resolved(self) -> Resolved:
        """The process-wide tree: that of the only folder, else the one without any folder's file."""
        return self._trees[next(iter(self._folders))] if len(self._folders) == 1 else self._trees[None]

    @property
    def settings(self) -> Settings:
        return self.resolved.settings

    def resolved_for(self, workspace_uri: str | None) -> Resolved:
        """The tree for the contexts of a workspace, with the file of its folder where that is open; None, or a folder
        that is not open: without any."""
        return self._trees.get(_key(workspace_uri) if workspace_uri else None, self._trees[None])

    def settings_for(self, workspace_uri: str | None) -> Settings:
        return self.resolved_for(workspace_uri).settings

    def start(self, options: object) -> list[str | None]:
        """Take the initialisation options, and read the person's file."""
        self._user = SettingsFile(user_file(), "user file")
        self._user.refresh()
        self._editor = (Layer("editor", options),)
        return self._resolve()

    def change(self, section: object) -> list[str | None]:
        """Take the editor's settings; what came with initialisation stays below them."""
        self._editor = (*self._editor[:1], Layer("editor", section))
        return self._resolve()

    def open_folder(self, uri: str) -> list[str | None]:
        """A workspace's folder is open from now on: its file is read, and counts for the contexts of the folder."""
        uri = _key(uri)
        if uri not in self._folders:
            file = self._folders[uri] = workspace_file(uri)
            if file is not None:
                file.refresh()
        return self._resolve()

    def close_folder(self, uri: str) -> list[str | None]:
        self._folders.pop(_key(uri), None)
        return self._resolve()

    def has_folder(self, uri: str) -> bool:
        return _key(uri) in self._folders

    def refresh(self) -> list[str | None]:
        """Look whether a file has changed; a stat for each, and no more where none has."""
        files = [file for file in (self._user, *self._folders.values()) if file is not None]
        changed = [file.refresh() for file in files]
        return self._resolve() if any(changed) else []

    def command(self, path: str, value: object) -> list[str | None]:
        """Set one setting until the process ends, above all other sources.

        Raises InvalidArgument, with ``path``, and changes nothing: the value is none that the setting takes.
        """
        former, known = self._commands, self._problems()
        self._commands = {**former, path: value}
        changed = self._resolve()
        refused = [each for each in self._problems() if each.source == "command" and each not in known]
        if refused:
            self._commands = former
            self._resolve()
            raise InvalidArgument(f"{refused[0].path} {refused[0].reason}.", refused[0].path)
        return changed

    def untold_problems(self) -> tuple[Problem, ...]:
        """What is not in force, and was so far not told: each problem once, and again only after it had gone."""
        problems = self._problems()
        untold = tuple(problem for problem in problems if problem not in self._told)
        self._told = frozenset(problems)
        return untold

    def _problems(self) -> list[Problem]:
        return list(dict.fromkeys(problem for tree in self._trees.values() for problem in tree.problems))

    def _resolve(self) -> list[str | None]:
        before = self._trees
        self._trees = {key: self._resolved(key) for key in (None, *self._folders)}
        return [key for key, tree in self._trees.items() if tree != before.get(key)]

    def _resolved(self, folder: str | None) -> Resolved:
        files = [self._user, self._folders[folder] if folder is not None else None]
        there = [file for file in files if file is not None]
        environment, problems = from_environment(self.environment)
        layers = [file.layer(alone=len(self._folders) == 1) for file in there]
        layers += [*self._editor, *environment, Layer("command", self._commands)]
        resolved = resolve(layers)
        unread = (file.problem for file in there if file.problem is not None)
        return Resolved(resolved.settings, resolved.origins, (*unread, *problems, *resolved.problems))


def user_file() -> Path:
    import platformdirs  # noqa: PLC0415  # start-up: only needed when a client connects

    return Path(platformdirs.user_config_dir("ullage", appauthor=False)) / "config.yaml"


def _key(uri: str) -> str:
    try:
        return normalise_uri(uri)
    except InvalidArgument:
        return uri
