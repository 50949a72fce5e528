"""The command line. Every command but `serve` is a client of the server, as an editor is: it starts one of its own and
speaks the protocol.

An editor waits for `serve`, so nothing of the other commands is imported before a command is chosen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ullage import __version__
from ullage.cli.json_forms import DOCTOR_JSON, FIT_JSON

DESCRIPTION = "Keeps conversations with local language models inside the memory the machine really has."
INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] | None = getattr(arguments, "run", None)
    if run is None:
        parser.print_help()
        return 2
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ullage", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"ullage {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_serve(commands)
    _add_chat(commands)
    _add_status(commands)
    _add_fit(commands)
    _add_doctor(commands)
    _add_demo(commands)
    _add_install_model(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = _command(commands, "serve", _serve, "the language server, over standard input and output: for editors")
    _add_storage(serve)
    serve.add_argument("--stdio", action="store_true", help="accepted, as editors add it: there is no other way")


def _add_chat(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    chat = _command(commands, "chat", _chat, "talk in the terminal, in the context of a folder")
    _add_folder(chat)
    _add_storage(chat)
    chat.add_argument("--name", default="main", help="which of the folder's contexts (default: main)")
    chat.add_argument("--model", help="the model to use from now on")
    chat.add_argument("--take-over", action="store_true", help="take the context from the window that writes it")


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = _command(commands, "status", _status, "how full a folder's contexts are; works beside a running editor")
    _add_folder(status)
    _add_storage(status)
    status.add_argument("--name", help="which of the folder's contexts (default: the one used last)")
    status.add_argument("--json", action="store_true", help="the protocol's ContextStatus as JSON")


def _add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = _command(commands, "fit", _fit, "the largest context that this machine's memory holds", FIT_JSON)
    fit.add_argument("subject", nargs="?", metavar="MODEL|FILE.gguf", help="default: every model of this machine")
    fit.add_argument("--all-types", action="store_true", help="every cache type, not only f16, q8_0 and q4_0")
    fit.add_argument("--json", action="store_true", help="as JSON, in the form below")
    _add_storage(fit)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    purpose = "what Ullage finds on this machine, what is wrong, and how to mend it"
    doctor = _command(commands, "doctor", _doctor, purpose, DOCTOR_JSON)
    doctor.add_argument("--json", action="store_true", help="as JSON, in the form below")
    _add_storage(doctor)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _command(commands, "demo", _demo, "a real conversation with a small model on this machine, start to finish")


def _add_install_model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    install = _command(commands, "install-model", _install_model, "install the small model, after asking")
    install.add_argument("--yes", action="store_true", help="do not ask")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """``epilog`` is printed below the help as it stands."""
    command = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="default: this one")


def _add_storage(command: argparse.ArgumentParser) -> None:
    command.add_argument("--storage", type=_absolute, metavar="DIR", help="where contexts are kept (as ULLAGE_STORAGE)")


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.storage is not None:
        os.environ["ULLAGE_STORAGE"] = str(arguments.storage)
    from ullage.app import serve  # noqa: PLC0415  # no other command needs it

    return serve()


def _chat(arguments: argparse.Namespace) -> int:
    from ullage.cli.chat import ChatOptions, chat  # noqa: PLC0415  # `serve` shall not wait for it

    return chat(
        ChatOptions(
            folder=arguments.folder,
            name=arguments.name,
            model=arguments.model,
            take_over=arguments.take_over,
            storage=arguments.storage,
        )
    )


def _status(arguments: argparse.Namespace) -> int:
    from ullage.cli.status import status  # noqa: PLC0415  # `serve` shall not wait for it

    return status(arguments.folder, name=arguments.name, as_json=arguments.json, storage=arguments.storage)


def _fit(arguments: argparse.Namespace) -> int:
    from ullage.cli.fit import FitOptions, fit  # noqa: PLC0415  # `serve` shall not wait for it

    return fit(
        FitOptions(
            subject=arguments.subject,
            all_types=arguments.all_types,
            as_json=arguments.json,
            storage=arguments.storage,
        )
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from ullage.cli.doctor import doctor  # noqa: PLC0415  # `serve` shall not wait for it

    return doctor(as_json=arguments.json, storage=arguments.storage)


def _demo(_: argparse.Namespace) -> int:
    from ullage.cli.demo import demo  # noqa: PLC0415  # `serve` shall not wait for it

    return demo()


def _install_model(arguments: argparse.Namespace) -> int:
    from ullage.cli.install_model import install_model  # noqa: PLC0415  # `serve` shall not wait for it

    return install_model(yes=arguments.yes)
