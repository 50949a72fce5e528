"""A server that does not begin, and a conversation that is gone: what a real Neovim says and does then."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.editing import servers_below
from support.every_line import harbour
from support.neovim import NONE_FOUND, Neovim, edited, installed, server_there
from support.ullage_server import ullage

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_neovim = pytest.mark.parametrize("nvim", installed(), ids=str)

NO_SERVER = "require('ullage').client == nil"


@every_neovim
async def test_a_server_that_refuses_to_begin_is_left_and_begins_once_it_can(nvim: Neovim, tmp_path: Path) -> None:
    storage = tmp_path / "elsewhere"
    storage.write_text("no folder")
    refusal = "Ullage: The storage folder"
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, {**place.environment, "ULLAGE_STORAGE": str(storage)}) as editor,
    ):
        await editor.says(refusal)
        for _ in range(6):  # more often than a server may crash
            await editor.keys(":messages clear<CR>:Ullage status<CR>")
            said = await editor.says(refusal)
            assert said.count(refusal) == 1
        storage.unlink()
        await editor.keys(":Ullage status<CR>")
        await server_there(editor)
        assert len(servers_below(editor.process.pid)) == 1


@every_neovim
async def test_a_conversation_that_was_erased_elsewhere_makes_room_for_the_folder_s_own(
    nvim: Neovim, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.lua("vim.lsp.stop_client(require('ullage').client.id)")
        await editor.until(NO_SERVER)
        async with ullage(tmp_path, place.settings) as other:
            context = await other.request("context/open", {"workspaceUri": place.folder.as_uri()})
            await other.request("context/delete", {"contextId": context["id"]})
            assert await other.shut_down() == 0
        await editor.keys(":Ullage snapshot first<CR>")
        await editor.says("There is no context with this id")
        await editor.keys(":Ullage snapshot second<CR>")
        await editor.says("Kept as")
        await editor.until("vim.g.ullage_status:find('(0%)', 1, true)")
