"""The command ``completion``: a script that lets a shell complete our commands, options, presets and runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from fine_tuner.cli.arguments import Commands

SHELLS = ("bash", "zsh", "tcsh")
_FILE = ("image", "images", "file", "path", "config", "output", "out", "thumbnails", "overlays", "runs")
_RUN = ("id", "ids")
# Runs are folders below runs/ and may be named by their folder's name alone.
_PREAMBLE = {
    "bash": """\
_fine_tuner_runs() {
  (cd runs 2>/dev/null && compgen -d -X '.*' -- "$1")
  compgen -d -- "$1"
}
""",
    "zsh": """\
_fine_tuner_runs() {
  compadd -- runs/*(N/:t)
  _files -/
}
""",
    "tcsh": "",
}


def add_completion(commands: Commands, build_parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Its words; ``build_parser`` gives what is to be completed."""

    def completion(arguments: argparse.Namespace) -> int:
        print(completion_script(build_parser(), arguments.shell))
        return 0

    command = commands.add(
        "completion", completion, "a script that completes commands and runs at the tab key", has_shared_options=False
    )
    command.add_argument("shell", choices=SHELLS)


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What ``shell`` is to evaluate."""
    import shtab  # loaded here: no other command needs it

    for action in _actions(parser):
        if action.dest in _RUN:
            action.complete = {"bash": "_fine_tuner_runs", "zsh": "_fine_tuner_runs", "tcsh": "d"}
        elif action.dest in _FILE and not action.choices:
            action.complete = shtab.FILE
    return shtab.complete(parser, shell=shell, preamble=_PREAMBLE)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
