"""The command line. Everything the page does is one of these commands.

Each file of commands beside this one adds its own to the parser and holds what they do.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong (message on standard error, no traceback), 130 stopped.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from functools import cache

from fine_tuner.base.errors import FineTunerError, InputError, loader_death
from fine_tuner.base.files import keep_private
from fine_tuner.base.version import __version__
from fine_tuner.cli import (
    data_commands,
    launch_commands,
    listing,
    measuring_commands,
    result_commands,
    run_commands,
    training_commands,
)
from fine_tuner.cli.arguments import Commands, print_json
from fine_tuner.cli.completion import add_completion


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    # Read by torch's OpenMP (libgomp) when it is loaded. By default threads wait by spinning for milliseconds, which
    # makes a small network many times slower beside other work; sleeping at once halves its speed on idle cores.
    # This short spin costs neither; results are the same.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if argv is None:  # else another program called us, whose files are its own matter
        keep_private()
    _print_anything()
    arguments = parse_arguments(argv)
    try:
        return arguments.run(arguments)
    except FineTunerError as error:
        print(error, file=sys.stderr)
        if getattr(arguments, "json", False):  # for a program: what kind of error, and at which settings
            fields = getattr(error, "fields", {})
            print_json({"error": {"kind": type(error).__name__, "message": str(error), "fields": fields}})
        return 2 if isinstance(error, InputError) else 1
    except RuntimeError as error:
        death = loader_death(error)
        if death is None:
            raise
        print(death, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has gone (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:  # not a file that the user could mend
            raise
        print(
            f"{error.filename}: {error.strerror}. Make it readable and writable, or free some space.", file=sys.stderr
        )
        return 2


def _print_anything() -> None:
    """Let a name that the terminal cannot show be printed in escapes instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command and its arguments; settings may stand before, between and after options."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and not all("=" in word and not word.startswith("-") and "overrides" in arguments for word in rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


@cache  # the assistant of the page parses one command after another, some while a person types
def build_parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    parser = argparse.ArgumentParser(
        prog="fine-tuner",
        description="Fine-tune pretrained torchvision models.",
        epilog="Without a command the page opens; its options: 'fine-tuner page --help'.",
    )
    parser.add_argument("--version", action="version", version=f"Fine Tuner {__version__}")
    commands = Commands(parser)
    for part in (
        training_commands,
        launch_commands,
        run_commands,
        result_commands,
        listing,
        measuring_commands,
        data_commands,
    ):
        part.add_commands(commands)
    add_completion(commands, build_parser)
    commands.add("serve", _serve, "answer commands, one JSON line each, on standard input", has_shared_options=False)
    commands.add("standby", _standby, "load torch, then wait for a command to become", has_shared_options=False)
    return parser


# ------------------------------------------- processes that answer or become any command, so they are given ``main``
def _serve(arguments: argparse.Namespace) -> int:
    """``serve``: the assistant of the page."""
    from fine_tuner.launch.serve import serve

    return serve(main)


def _standby(arguments: argparse.Namespace) -> int:
    """``standby``: a process with torch loaded, ready to become a worker."""
    from fine_tuner.launch.standby import wait_and_run

    return wait_and_run(main, preload=("torch", "torchvision", "fine_tuner.training.run.worker"))
