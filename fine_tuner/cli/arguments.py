"""Arguments that many commands take, what they name (settings, a run), and how an answer is printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.config.io import apply_overrides, parse, read_tree, to_tree
from fine_tuner.config.presets import list_presets, load_preset
from fine_tuner.config.sections.second_loss import sections_of_own_code
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import DEFAULT_TASK, TASK_SPECS
from fine_tuner.data.options import READ_OPTIONS, ReadOptions
from fine_tuner.runs.kept_losses import with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore

CONFIG_HELP = f"a YAML file, or a preset: {', '.join(list_presets())}"
OVERRIDE_HELP = "settings as section.key=value, such as optim.lr=3e-4; 'list settings' shows them all"

Action = Callable[[argparse.Namespace], int]
"""What a command does: from its arguments to its exit code."""


class Commands:
    """The commands of a parser, each with the options that all share."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
        self._shared = argparse.ArgumentParser(add_help=False)
        self._shared.add_argument(
            "--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of runs (default runs)"
        )
        self._shared.add_argument("--json", action="store_true", help="the last line is one JSON object")

    def add(self, name: str, run: Action, what: str, *, has_shared_options: bool = True) -> argparse.ArgumentParser:
        """A command that does ``run``; ``what`` is its line in the help of all."""
        command = self._subparsers.add_parser(name, parents=[self._shared] if has_shared_options else [], help=what)
        command.set_defaults(run=run)
        return command

    def add_of_settings(self, name: str, run: Action, what: str, *, also: str = "") -> argparse.ArgumentParser:
        """A command that takes settings, see ``read_settings``; ``also`` says what else CONFIG may be."""
        command = self.add(name, run, what)
        command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP + also)
        add_overrides(command)
        return command

    def add_of_run(self, name: str, run: Action, what: str) -> argparse.ArgumentParser:
        """A command that takes a run, see ``find_run``."""
        command = self.add(name, run, what)
        command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
        return command


def add_overrides(command: argparse.ArgumentParser, what: str = OVERRIDE_HELP) -> None:
    """Let a command take ``KEY=VALUE`` any number of times, before, between and after its options."""
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=what)


# ------------------------------------------------------------ what they name
def read_settings(config: str, overrides: Sequence[str]) -> Settings:
    """Settings from a YAML file or a preset, with overrides applied.

    Raises:
        ConfigError: Naming the dotted path of every bad setting.
    """
    is_file = config.endswith((".yaml", ".yml")) or Path(config).is_file()
    tree = read_tree(Path(config)) if is_file else to_tree(load_preset(config))
    run = RunFolder(Path(config).resolve().parent)
    if not (is_file and "task" in tree):  # a person's own file that says what is learned
        overrides = [*overrides, *_recognised(tree, overrides, is_file=is_file)]
    return parse(apply_overrides(_of_run(tree, run) if is_file and run.info.is_file() else tree, overrides))


def _recognised(tree: Mapping[str, Any], overrides: Sequence[str], *, is_file: bool) -> list[str]:
    """Overrides for data that the settings' task cannot learn, as the page makes them; for a task given, what it needs.

    Args:
        tree: The settings before ``overrides``.
        overrides: As typed.
        is_file: The settings are a person's own, in which a loss or a network was chosen; a preset's were not.
    """
    typed = dict(item.split("=", 1) for item in overrides if "=" in item)
    path = typed.get("data.path") or (tree.get("data", {}).get("path") if is_file else None)
    if "task" in typed:
        is_other = typed["task"] in TASK_SPECS and typed["task"] != tree.get("task", DEFAULT_TASK)
        return _of_task(typed["task"], typed, (), f"For task={typed['task']}") if is_other and not is_file else []
    if not path:
        return []
    from fine_tuner.data.readers.recognise import glance_at

    settings = parse(apply_overrides({}, [item for item in overrides if item.startswith("data.")]))
    chosen = ReadOptions(**{name: getattr(settings.data, name) for name in READ_OPTIONS})
    try:
        glance = glance_at(str(path), options=chosen)
    except DataError:  # reading says it better
        return []
    task = tree.get("task", DEFAULT_TASK)
    is_chosen = task != DEFAULT_TASK and task in glance.tasks  # a preset of another task is chosen for that task
    if task == glance.task or is_chosen:
        return []
    own = {f"{section}.name" for section in ("loss", "model") if is_file and "name" in tree.get(section, {})}
    return _of_task(glance.task, typed, own, f"Recognised {glance.words}")


def _of_task(task: str, typed: Mapping[str, str], own: Collection[str], why: str) -> list[str]:
    """Overrides for a task, with its usual loss and network where the user has not chosen any; said."""
    spec = TASK_SPECS[task]
    wanted = {"task": task, "loss.name": spec.default_loss, "model.name": spec.default_network}
    words = [f"{key}={value}" for key, value in wanted.items() if value and key not in typed and key not in own]
    if words:
        print(f"{why}: {' '.join(words)}", file=sys.stderr)
    return words


def _of_run(tree: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """Settings out of a run's folder, with the losses that the run kept: what is repeated is the code that trained.

    That it may run unchecked is for a person to say, not for a folder that came from somewhere.
    """
    out = with_kept_losses(tree, run)
    for section in sections_of_own_code(out):
        out[section] = {key: value for key, value in out[section].items() if key != "unchecked"}
    return out


def find_run(arguments: argparse.Namespace) -> RunFolder:
    """The run that was named by its folder or its id."""
    return RunStore(arguments.runs).find(arguments.id)


# ------------------------------------------------------------------- answers
def print_json(value: Any) -> None:
    """Strict JSON on one line."""
    print(json.dumps(value, allow_nan=False))


def print_answer(arguments: argparse.Namespace, value: Any, as_text: Callable[[Any], str]) -> None:
    """``value`` as JSON where ``--json`` asks for it, else ``as_text(value)``."""
    print(json.dumps(value, allow_nan=False) if arguments.json else as_text(value))
