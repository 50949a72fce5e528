"""`ullage demo`: everything at once, with a real model, in a temporary folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from ullage.cli import demo_script as script
from ullage.cli.client import ServerError, ServerGone
from ullage.cli.demo_show import WINDOW, DidNotHold, Show
from ullage.cli.figures import duration_text
from ullage.cli.install_model import HOW_TO_GET_THEM, missing_packages
from ullage.cli.status_box import show_status, show_table
from ullage.cli.terminal import Terminal

FIRST, SECOND = "harbour", "lighthouse"
LONGEST_S = 900
"""Far more than any machine needs; then something hangs, and that is said."""


def demo() -> int:
    """Run the whole demo; 1, with a sentence, where something did not hold."""
    terminal = Terminal()
    missing = missing_packages()
    if missing:
        terminal.error("The demo talks to a real model, and something is missing for that:")
        for package in missing:
            terminal.error(f"  {package.about}")
        terminal.error(HOW_TO_GET_THEM)
        return 1
    with tempfile.TemporaryDirectory(prefix="ullage-demo-") as folder:
        try:
            return asyncio.run(_perform(Show(terminal, Path(folder))))
        except (ServerError, ServerGone) as error:
            terminal.failure(error)
        except (DidNotHold, TimeoutError) as error:
            terminal.error(str(error) or f"The demo did not end within {LONGEST_S} s.")
    return 1


async def _perform(show: Show) -> int:
    for name in (FIRST, SECOND):
        (show.folder / name).mkdir()
    began = time.perf_counter()
    try:
        async with asyncio.timeout(LONGEST_S):
            first, second = await _talk(show)
            await _crash(show, first)
            return await _sum_up(show, (first, second), (time.perf_counter() - began) * 1000)
    finally:
        await show.end()


async def _talk(show: Show) -> tuple[str, str]:
    """Fill the window, leave for another workspace, come back; returns the ids of both contexts."""
    terminal = show.terminal
    terminal.section(f"One workspace, a real model, and a window of only {WINDOW:,} tokens")
    ready_ms = await show.begin()
    status = await show.open(FIRST)
    first: str = status["context"]["id"]
    model = status["model"]
    terminal.line(f"The server was ready in {duration_text(ready_ms)}. {model['name']} answers ({model['provider']}).")
    await show.converse(first, script.FIRST)
    terminal.section("A second workspace: its own context, its own window")
    second: str = (await show.open(SECOND))["context"]["id"]
    await show.converse(second, script.SECOND)
    await show.clear_and_undo(second)
    await show.keep_compress_and_restore(second)
    terminal.section("Back to the first one")
    await show.switch(first)
    await show.converse(first, script.FIRST_AGAIN)
    return first, second


async def _crash(show: Show, context_id: str) -> None:
    show.terminal.section("A crash in the middle of an answer")
    await show.kill_while_answering(context_id, script.CUT_OFF)
    await show.restart((FIRST, SECOND))
    await show.answer_pending(context_id)


async def _sum_up(show: Show, context_ids: tuple[str, str], total_ms: float) -> int:
    terminal = show.terminal
    terminal.section("Where both contexts stand")
    for name, context_id in zip((FIRST, SECOND), context_ids, strict=True):
        show_status(terminal, await show.client.request("context/status", {"contextId": context_id}), name)
    terminal.section(f"What was measured, in {duration_text(total_ms)}")
    show_table(terminal, ("figure", "value"), show.figures.rows())
    broken = show.figures.broken()
    for sentence in broken:
        terminal.error(sentence)
    return 1 if broken else 0
