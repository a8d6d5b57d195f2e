"""The commands that train a run, or ask something of one that trains.

Each takes the parsed arguments and returns its exit code. torch is imported by those that need it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError
from fine_tuner.base.machine import is_rank
from fine_tuner.base.progress import OnProgress
from fine_tuner.cli.arguments import Commands, add_overrides, find_run, print_answer, print_json, read_settings
from fine_tuner.cli.comparison import repeat_text
from fine_tuner.cli.progress import Bar, progress_lines
from fine_tuner.config import live_changes
from fine_tuner.config.io import read_tree
from fine_tuner.launch.devices import hold, rank_devices
from fine_tuner.launch.extension import check_extension, check_start
from fine_tuner.planning.loss_checks import admit_code, refuse_code_of_run
from fine_tuner.runs import control, queue
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.cache_writer import CacheWriter
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.compare import MOST_RUNS, compare_runs
from fine_tuner.runs.view.status import look


def add_commands(commands: Commands) -> None:
    """Their words and options."""
    command = commands.add_of_settings(
        "train", train, "train, and print one line per epoch", also="; or the folder of a run"
    )
    command.add_argument("--seeds", type=int, default=1, metavar="N", help="train N runs that differ in their seed")
    command = commands.add_of_run("resume", resume, "go on with a run from its newest checkpoint")
    add_overrides(command, "devices=... to go on with another number of devices; the steps stay the same")
    commands.add_of_run("stop", stop, "end a run within a step, keeping its best and last checkpoint")
    commands.add_of_run("pause", pause, "free the device; 'resume' goes on")
    command = commands.add_of_run("set", set_command, "change a run while it trains")
    command.add_argument("changes", nargs="+", metavar="KEY=VALUE", help=f"such as {live_changes.EXAMPLES}")
    command = commands.add_of_run("clone", clone, "train a new run with the settings of another, and changes")
    add_overrides(command)
    command = commands.add_of_run(
        "extend", extend, "more epochs, the schedule fitted to them; a run that has ended goes on"
    )
    command.add_argument("epochs", type=int, metavar="EPOCHS", help="how many the run is to have in all")
    command = commands.add("verify", verify_command, "make the first steps of a bundle's run again, and compare")
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder that 'export RUN --format bundle' made")
    command.add_argument("--steps", type=int, default=20, metavar="N", help="how many, at most (default 20)")
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="where its pictures lie here (default: where they lay)"
    )
    commands.add_of_run("validate", validate, "validate a run at work after its next step")
    commands.add_of_run("save", save, "write a checkpoint of a run at work after its next step")


# ------------------------------------------------------------------ training
def train(arguments: argparse.Namespace) -> int:
    """``train``: make a run folder (unless given one) and train in this process; with ``--seeds`` once for each."""
    if (number := getattr(arguments, "seeds", 1)) != 1:
        return _train_seeds(arguments, number)
    if Path(arguments.config, "config.yaml").is_file():
        devices = _other_devices(arguments.overrides)
        return _train_folder(RunFolder(Path(arguments.config).resolve()), arguments, devices=devices)
    settings = read_settings(arguments.config, arguments.overrides)
    admit_code(settings)
    from fine_tuner.distributed.devices import choose_devices
    from fine_tuner.tasks.build import Place
    from fine_tuner.training.run.console import Console
    from fine_tuner.training.run.prepare import prepare

    num_devices = len(choose_devices(settings.devices))
    is_several = num_devices > 1  # then other processes build it again, to train it
    prepared = prepare(  # wrong input leaves no folder behind
        settings,
        on_progress=_bar() or Console(_say).progress,
        place=Place(world_size=num_devices),
        outline=is_several,
    )
    argv, parent = ["train", arguments.config, *arguments.overrides], getattr(arguments, "parent", None)
    settings = prepared.assembly.settings  # what was left empty is filled in
    run = RunStore(arguments.runs).create(settings, argv=argv, parent=parent)
    return _train_folder(run, arguments, None if is_several else prepared)


def _train_seeds(arguments: argparse.Namespace, number: int) -> int:
    """Runs that differ in their seed alone, one after the other, then what they come to; ends at the first failure."""
    if number < 1 or Path(arguments.config, "config.yaml").is_file():
        raise InputError("--seeds takes a number of 1 or more, and settings: a run that is there has its seed.")
    first, store = read_settings(arguments.config, arguments.overrides).seed, RunStore(arguments.runs)
    overrides, runs = list(arguments.overrides), []
    for seed in range(first, first + number):
        before = set(store.ids())
        arguments.overrides, arguments.seeds = [*overrides, f"seed={seed}"], 1
        if code := train(arguments):
            return code
        runs += [store.get(run_id) for run_id in store.ids() if run_id not in before]
    if 2 <= len(runs) <= MOST_RUNS:
        found = compare_runs(runs, store.view_of)["repeats"]
        print_answer(arguments, {"repeats": found}, lambda answer: "\n".join(map(repeat_text, answer["repeats"])))
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """``resume``: train on, in this process, from the newest checkpoint."""
    run = find_run(arguments)
    check_start(run)
    refuse_code_of_run(run)
    control.clear_for_start(run)
    return _train_folder(run, arguments, devices=_other_devices(arguments.overrides))


def _other_devices(overrides: Sequence[str]) -> str | None:
    """Devices of the next attempt of a run, if they are to be others; all else of a run stays.

    Raises:
        InputError: If something else is to change.
    """
    others = [word for word in overrides if not word.startswith("devices=")]
    if others:
        raise InputError(
            f"{others[0]}: of a run that exists only devices=... can be another when it goes on. "
            "'set' changes rate and length of a run, 'clone' makes a new one with other settings."
        )
    return overrides[-1].partition("=")[2] if overrides else None


def clone(arguments: argparse.Namespace) -> int:
    """``clone``: a new run with the settings of another, and changes."""
    parent = find_run(arguments)
    arguments.config, arguments.parent = str(parent.config), parent.id
    return train(arguments)


def extend(arguments: argparse.Namespace) -> int:
    """``extend``: more epochs; a run that has ended trains on in this process."""
    run = find_run(arguments)
    check_extension(run, arguments.epochs)
    refuse_code_of_run(run)
    queue.claim(run)
    is_alive = look(run).is_alive
    control.request(run, "set", **{live_changes.EPOCHS.path: arguments.epochs})
    if is_alive:
        print(f"{run.id}: asked for {arguments.epochs} epochs")
        return 0
    control.clear_for_start(run)
    return _train_folder(run, arguments)


def verify_command(arguments: argparse.Namespace) -> int:
    """``verify``: 0 if the first steps are the same, 1 if they part."""
    from fine_tuner.export.verify import verdict_text, verify

    tell = progress_lines(is_json=arguments.json, pause_seconds=2.0)
    found = verify(arguments.bundle, steps=arguments.steps, data=arguments.data, on_progress=tell)
    print_answer(arguments, found, verdict_text)
    return 0 if found["is_equal"] else 1


def _train_folder(
    run: RunFolder, arguments: argparse.Namespace, prepared: Any = None, *, devices: str | None = None
) -> int:
    """Train a run in its folder, in this process or, on several devices, in one for each; returns the exit code."""
    from fine_tuner.evaluation.evaluate_run import evaluate_at_end
    from fine_tuner.training.run.worker import run_worker

    refuse_code_of_run(run)
    if is_rank():
        from fine_tuner.training.run.ranks import train_as_rank

        return train_as_rank(run, print_line=_say, at_end=evaluate_at_end, devices=devices)
    wanted = devices or str(read_tree(run.config).get("devices", "auto"))
    with hold(run.path.parent, wanted) as was_free, CacheWriter(run):
        if not was_free:
            print("Another run is at work on this device; both go on, more slowly.", file=sys.stderr)
        if len(rank_devices(wanted)) > 1 or "all" in wanted:
            from fine_tuner.training.run.ranks import train_in_ranks

            code = train_in_ranks(run, wanted, overrides=[f"devices={devices}"] if devices else [])
        else:
            code = run_worker(
                run, print_line=_say, prepared=prepared, show=_bar(), at_end=evaluate_at_end, devices=devices
            )
    print(f"run: {run.path}", flush=True)
    if arguments.json:
        print_json(RunStore(run.path.parent).summary(run.id).to_json())
    return code


def _say(line: str) -> None:
    print(line, flush=True)


def _bar() -> OnProgress | None:
    """A bar with the time left, where somebody looks."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None
    return Bar()


# ------------------------------------------------------- asked of one at work
def stop(arguments: argparse.Namespace) -> int:
    """``stop``: ask the run to end within a step."""
    return _ask_worker(arguments, "stop")


def pause(arguments: argparse.Namespace) -> int:
    """``pause``: ask the run to keep its state and free the device."""
    return _ask_worker(arguments, "pause")


def set_command(arguments: argparse.Namespace) -> int:
    """``set``: change the rate or the length of a run between two of its steps."""
    changes: dict[str, float | str] = {}
    for item in arguments.changes:
        path, _, text = item.partition("=")
        try:
            changes[path] = float(text)
        except ValueError:
            changes[path] = text
    return _ask_worker(arguments, "set", **live_changes.checked(changes))


def validate(arguments: argparse.Namespace) -> int:
    """``validate``: validate after the next step."""
    return _ask_worker(arguments, "evaluate", "validate")


def save(arguments: argparse.Namespace) -> int:
    """``save``: write a checkpoint after the next step."""
    return _ask_worker(arguments, "checkpoint", "save")


def _ask_worker(arguments: argparse.Namespace, what: Any, word: str = "", **content: Any) -> int:
    """Leave a request for the worker of a run; one that waits leaves the queue when it is to stop or to pause."""
    run, word = find_run(arguments), word or what
    if what in ("stop", "pause") and queue.cancel(run):
        print(f"{run.id}: taken out of the queue")
        return 0
    if not look(run).is_alive:
        raise InputError(f"Run {run.id} is not running, so there is nothing to {word}. 'list runs' shows which are.")
    control.request(run, what, **content)
    print(f"{run.id}: asked to {word}")
    return 0
