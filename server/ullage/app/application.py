"""One server process: its parts, and what it does when its client comes, changes and goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from ullage.app.configuration import Configuration
from ullage.contexts.commands.lines import EXECUTABLE
from ullage.errors import UllageError
from ullage.events import Event
from ullage.lsp.server import Handler, Hooks, UllageServer
from ullage.lsp.types import REQUESTS
from ullage.settings import Settings
from ullage.store.folder import StorageFolder, open_folder

if TYPE_CHECKING:
    from ullage.app.parts import Parts
    from ullage.contexts.values import CommandResult, ContextStatus
    from ullage.lsp.notifications import Notifier
    from ullage.lsp.work_done import WorkDone
    from ullage.memory.readings import MemoryReading

logger = logging.getLogger(__name__)

ASKING_TIMEOUT_S = 5.0


class Application:
    """Lives as long as the process.

    The reply to `initialize` needs the protocol and the storage folder only, and an editor waits for it; everything
    else is imported and put together with what comes next.
    """

    def __init__(self) -> None:
        self._configuration = Configuration()
        self._client = _Client()
        self._folder: StorageFolder | None = None
        self._parts: Parts | None = None
        self._handlers: Mapping[str, Handler] = {}
        self._notifier: Notifier | None = None
        self._work_done: WorkDone | None = None
        self._notified = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._server = UllageServer(
            {method: self._handler(method) for method in REQUESTS},
            commands=EXECUTABLE,
            hooks=Hooks(
                initialize=self._initialize,
                initialized=self._initialized,
                shutdown=self._shutdown,
                folders_changed=self._folders_changed,
                folders_renamed=self._folders_renamed,
                configuration_changed=self._configuration_changed,
                files_changed=self._files_changed,
                progress_cancelled=self._progress_cancelled,
                execute=self._execute,
            ),
        )

    def serve(self) -> int:
        return self._server.serve_stdio()

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            self._parts = self._assemble()
        return self._parts

    def _assemble(self) -> Parts:
        from ullage.app.parts import ClientSide, assemble  # noqa: PLC0415  # start-up: see the class
        from ullage.lsp.handlers import Handlers  # noqa: PLC0415  # start-up: see the class
        from ullage.lsp.notifications import Notifier  # noqa: PLC0415  # start-up: see the class
        from ullage.lsp.person import PersonAtEditor  # noqa: PLC0415  # start-up: see the class
        from ullage.lsp.work_done import WorkDone  # noqa: PLC0415  # start-up: see the class

        assert self._folder is not None, "initialize comes first"
        self._work_done = work_done = WorkDone(self._server, self._client.shows_progress)
        client = ClientSide(self._client.name, self._tell_low, PersonAtEditor(self._server), work_done.of_server)
        parts = assemble(self._configuration, self._folder, client)
        self._handlers = Handlers(
            directory=parts.directory,
            conversations=parts.conversations,
            chats=parts.chats,
            completions=parts.completions,
            reports=parts.reports,
            sizes=parts.sizes,
            compressions=parts.compressions,
            snapshots=parts.snapshots,
            archive=parts.archive,
            commands=parts.commands,
            work_done=work_done,
            progress=self._server.progress,
        ).table()
        self._notifier = Notifier(
            self._server.notify_client,
            self._status_now,
            lambda: [session.id for session in parts.sessions.opened()],
        )
        parts.sessions.bus.subscribe(self._notifier.hear)
        self._keep(parts.unfinished.end_all())
        self._keep(parts.yielding.watch())
        self._keep(parts.monitor.watch())
        self._keep(self._watch_files())
        return parts

    def _handler(self, method: str) -> Handler:
        """A request sees what the notifications before it have brought about: folders, names, settings."""

        async def handle(params: Any) -> Any:
            await self._settled()
            return await self._handlers[method](params)

        return handle

    async def _settled(self) -> None:
        if self._notified.locked():
            async with self._notified:
                pass
        if self._parts is None:
            self._parts = self._assemble()

    async def _execute(self, params: lsp.ExecuteCommandParams) -> CommandResult:
        """A command of an editor that only speaks the standard protocol: what it answers is shown there, too."""
        from ullage.contexts.commands.markdown import plain  # noqa: PLC0415  # start-up: see the class
        from ullage.contexts.finishing import cancellable_until_begun  # noqa: PLC0415  # start-up: see the class

        await self._settled()
        result = await cancellable_until_begun(self.parts.commands.execute(params.command, params.arguments))
        self._show(lsp.MessageType.Info, plain(result.markdown))
        return result

    async def _progress_cancelled(self, token: int | str) -> None:
        if self._work_done is not None:
            self._work_done.cancel(token)

    async def _initialize(self, params: lsp.InitializeParams) -> None:
        self._configuration.start(params.initialization_options)
        self._client = _Client.of(params)
        self._folder = open_folder(self._configuration.settings.storage_directory)

    async def _initialized(self) -> None:
        async with self._notified:
            for folder in self._client.folders:
                self._configuration.open_folder(folder)
            await self._ask_for_settings()
            for folder in self._client.folders:
                await self._open_main(folder)
        self._tell_problems()
        self._keep(self._tell_damage())

    async def _shutdown(self) -> None:
        if self._notifier is not None:
            self._notifier.close()
        for task in self._background:
            task.cancel()
        if self._parts is not None:
            await self._parts.close()

    async def _folders_changed(self, event: lsp.WorkspaceFoldersChangeEvent) -> None:
        async with self._notified:
            before = self._configuration.settings
            for folder in event.removed:
                self._configuration.close_folder(folder.uri)
            for folder in event.added:
                self._configuration.open_folder(folder.uri)
            await self._settings_changed(before)
            for folder in event.removed:
                with suppress(UllageError):
                    await self.parts.directory.folder_removed(folder.uri)
            for folder in event.added:
                await self._open_main(folder.uri)
        self._tell_problems()

    async def _files_changed(self, _: object = None) -> None:
        async with self._notified:
            before = self._configuration.settings
            if not self._configuration.refresh():
                return
            await self._settings_changed(before)
        self._tell_problems()
        self.parts.sessions.stale(None)

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(self._configuration.settings.memory.poll_seconds)
            await self._files_changed()

    async def _folders_renamed(self, params: lsp.RenameFilesParams) -> None:
        left_behind = 0
        async with self._notified:
            before = self._configuration.settings
            for file in params.files:
                if self._configuration.has_folder(file.old_uri):
                    self._configuration.close_folder(file.old_uri)
                    self._configuration.open_folder(file.new_uri)
                with suppress(UllageError):
                    left_behind += await self.parts.directory.folder_renamed(file.old_uri, file.new_uri)
            await self._settings_changed(before)
        if left_behind:
            text = (
                f"{left_behind} of the folder's contexts stayed with its old name: another window writes them, or the"
                " new folder has contexts of the same names. Rename the folder again when they are closed."
            )
            self._show(lsp.MessageType.Warning, text)

    async def _configuration_changed(self, settings: Any) -> None:
        async with self._notified:
            if not await self._ask_for_settings() and isinstance(settings, Mapping):
                await self._take_settings(settings.get("ullage", settings))
        self._tell_problems()
        self.parts.sessions.stale(None)

    async def _open_main(self, uri: str) -> None:
        """Every workspace folder has its main context; the first becomes the active one where none is."""
        directory = self.parts.directory
        try:
            context = await directory.open(uri, activate=directory.active_id is None)
        except UllageError as error:
            logger.warning("No context for a workspace folder: %s", error.kind)
        else:
            self._keep(self._look_up_model(context.id))

    async def _look_up_model(self, context_id: str) -> None:
        """Find the model before it is needed, so that limit and exact counts are there when the person looks."""
        with suppress(UllageError):
            session = await self.parts.sessions.get(context_id)
            await self.parts.sessions.counter_when_known(session.state.record)
            self.parts.sessions.stale(context_id)

    async def _status_now(self, context_id: str) -> ContextStatus | None:
        session = await self.parts.sessions.glance(context_id)
        return await self.parts.reports.status_now(session)

    async def _ask_for_settings(self) -> bool:
        """Ask the client for its settings where it can answer; whether it did."""
        if not self._client.answers_configuration:
            return False
        params = lsp.ConfigurationParams(items=[lsp.ConfigurationItem(section="ullage")])
        try:
            answer = await self._server.ask_client(lsp.WORKSPACE_CONFIGURATION, params, ASKING_TIMEOUT_S)
        except (TimeoutError, JsonRpcException, UllageError):
            logger.warning("The client did not tell its settings; those of its start stay in force.")
            return False
        await self._take_settings(answer[0] if isinstance(answer, list) and answer else None)
        return True

    async def _take_settings(self, section: object) -> None:
        """What was found out of models goes by the settings of that time: with others they are looked up anew."""
        before = self._configuration.settings
        self._configuration.change(section)
        await self._settings_changed(before)

    async def _settings_changed(self, before: Settings) -> None:
        after = self._configuration.settings
        same_servers = _of_servers(before) == _of_servers(after)
        if same_servers and before.tokens == after.tokens:
            return
        await self.parts.sessions.models.reset(keep_servers=same_servers)
        for session in self.parts.sessions.opened():
            self._keep(self._look_up_model(session.id))

    def _tell_low(self, reading: MemoryReading, threshold: int) -> None:
        from ullage.lsp.results import LowMemoryParams  # noqa: PLC0415  # start-up: see the class

        self._server.notify_client("context/lowMemory", LowMemoryParams(reading, threshold))

    def _tell_problems(self) -> None:
        problems = self._configuration.untold_problems()
        if problems:
            text = "; ".join(str(problem) for problem in problems)
            self._show(lsp.MessageType.Warning, f"{text}. The next lower source is used.")

    async def _tell_damage(self) -> None:
        """Say what became of a database that could not be read, or why there is no store at all."""
        try:
            opened = await self.parts.sessions.store.opened()
        except UllageError as error:
            self._show(lsp.MessageType.Error, error.message)
            return
        if opened.set_aside is not None:
            sessions = self.parts.sessions
            sessions.bus.publish(Event("storeDamaged", None, sessions.stamp.now(), {"file": opened.set_aside.name}))
            text = (
                f"The store of conversations was damaged. It was kept as {opened.set_aside.name} in the storage folder,"
                " and a fresh one was started."
            )
            self._show(lsp.MessageType.Warning, text)

    def _show(self, kind: lsp.MessageType, text: str) -> None:
        self._server.notify_client(lsp.WINDOW_SHOW_MESSAGE, lsp.ShowMessageParams(kind, text))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _of_servers(settings: Settings) -> tuple[object, ...]:
    """What servers are made with, and asked for."""
    context = settings.context
    sizes = (context.target_size, context.min_size, context.max_size)
    return (settings.providers, sizes, context.kv_quantization)


@define
class _Client:
    """What matters here of what the client said of itself."""

    name: str = "an editor"
    folders: tuple[str, ...] = ()
    answers_configuration: bool = False
    shows_progress: bool = False

    @classmethod
    def of(cls, params: lsp.InitializeParams) -> _Client:
        folders = tuple(folder.uri for folder in params.workspace_folders or ())
        if not folders and params.root_uri:
            folders = (params.root_uri,)
        workspace, window = params.capabilities.workspace, params.capabilities.window
        return cls(
            name=params.client_info.name if params.client_info else "an editor",
            folders=folders,
            answers_configuration=bool(workspace and workspace.configuration),
            shows_progress=bool(window and window.work_done_progress),
        )
