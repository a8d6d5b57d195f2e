"""The command line: words and options. Everything the page does is one of these commands.

``commands.py`` and ``data_commands.py`` hold what they do.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong (message on standard error, no traceback), 130 stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fine_tuner import __version__
from fine_tuner.base.errors import FineTunerError, InputError
from fine_tuner.cli import commands, data_commands, measure_commands, run_commands
from fine_tuner.cli.listing import LISTS
from fine_tuner.config.presets import list_presets
from fine_tuner.config.settings import TASKS

CONFIG_HELP = f"a YAML file, or a preset: {', '.join(list_presets())}"
OVERRIDE_HELP = "settings as section.key=value, such as optim.lr=3e-4; 'list settings' shows them all"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    # Read by torch's OpenMP (libgomp) when it is loaded. By default threads wait by spinning for milliseconds, which
    # makes a small network many times slower beside other work; sleeping at once halves its speed on idle cores.
    # This short spin costs neither; results are the same.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    arguments = parse_arguments(argv)
    try:
        return arguments.run(arguments)
    except FineTunerError as error:
        print(error, file=sys.stderr)
        if getattr(arguments, "json", False):  # for a program: what kind of error, and at which settings
            fields = getattr(error, "fields", {})
            commands.print_json({"error": {"kind": type(error).__name__, "message": str(error), "fields": fields}})
        return 2 if isinstance(error, InputError) else 1
    except BrokenPipeError:  # the reader of our output has gone (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
    parser = argparse.ArgumentParser(prog="fine_tuner", description="Fine-tune pretrained torchvision models.")
    parser.add_argument("--version", action="version", version=f"Fine Tuner {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = _shared_options()

    command = subparsers.add_parser("train", parents=[*shared], help="train, and print one line per epoch")
    command.add_argument("config", metavar="CONFIG", help=f"{CONFIG_HELP}; or the folder of a run")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.set_defaults(run=commands.train)

    for name, what, function in (
        ("resume", "go on with a run from its newest checkpoint", commands.resume),
        ("stop", "end a run within a step, keeping its best and last checkpoint", commands.stop),
        ("pause", "free the device; 'resume' goes on", commands.pause),
    ):
        command = subparsers.add_parser(name, parents=[*shared], help=what)
        command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
        command.set_defaults(run=function)

    command = subparsers.add_parser("set", parents=[*shared], help="change a run while it trains")
    command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
    command.add_argument(
        "changes", nargs="+", metavar="KEY=VALUE", help="lr_factor=0.5, optim.lr=1e-4 or train.epochs=20"
    )
    command.set_defaults(run=commands.set_command)

    run_commands.add_commands(subparsers, shared, OVERRIDE_HELP)

    command = subparsers.add_parser("list", parents=[*shared], help=f"list {', '.join(LISTS)}")
    command.add_argument("what", choices=LISTS)
    command.add_argument("--task", choices=TASKS, help="only what makes sense for this task")
    command.set_defaults(run=commands.list_command)

    command = subparsers.add_parser("plan", parents=[*shared], help="what will happen, without training")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.set_defaults(run=commands.plan)

    command = subparsers.add_parser("find-lr", parents=[*shared], help="suggest a learning rate by a short sweep")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--steps", type=int, default=100, help="steps of the sweep (default 100)")
    command.set_defaults(run=commands.find_lr)

    _add_measuring(subparsers, shared)
    command = subparsers.add_parser("preview-schedule", parents=[*shared], help="the planned rates, without the data")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--total-steps", type=int, required=True, help="steps of the run")
    command.add_argument("--steps-per-epoch", type=int, required=True, help="steps of one epoch")
    command.add_argument("--groups", required=True, metavar="JSON", help='rates by group, as {"head": 1e-3}')
    command.set_defaults(run=commands.preview_schedule)

    command = subparsers.add_parser("preview-data", parents=[*shared], help="pictures as the network will see them")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures are written")
    command.add_argument("--count", type=int, default=12, help="how many pictures (default 12)")
    command.add_argument("--shuffle", type=int, default=0, help="which draw of pictures and augmentation (default 0)")
    command.add_argument("--only", default="", metavar="CLASS", help="only pictures of this class, or with it")
    command.set_defaults(run=data_commands.preview_data)

    command = subparsers.add_parser("check-data", parents=[*shared], help="what the data is, and what is wrong with it")
    command.add_argument("path", metavar="PATH", help="as data.path: a folder, a zip, a table, torchvision:NAME")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of data, train.batch_size, seed")
    command.add_argument("--task", choices=TASKS, help="what it is to be used for (default: what it seems made for)")
    command.add_argument("--thumbnails", type=Path, metavar="DIR", help="where to write small pictures of the examples")
    command.set_defaults(run=data_commands.check_data)

    command = subparsers.add_parser("recognise", parents=[*shared], help="what the data seems to be, at a glance")
    command.add_argument("path", metavar="PATH")
    command.set_defaults(run=data_commands.recognise)

    command = subparsers.add_parser("check-loss", parents=[*shared], help="try a loss of your own before it trains")
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--task", choices=TASKS, help="that of CONFIG, else classification")
    command.add_argument("--entry", default="", metavar="NAME", help="function or class; the only one by default")
    command.add_argument("--config", metavar="CONFIG", help=f"whose data and network to try it on: {CONFIG_HELP}")
    command.set_defaults(run=commands.check_loss)

    command = subparsers.add_parser("loss-curve", parents=[*shared], help="value and gradient of a loss, as curves")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.set_defaults(run=commands.loss_curve)

    command = subparsers.add_parser("predict", parents=[*shared], help="what a run's best network says of pictures")
    command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.add_argument(
        "--overlays", type=Path, metavar="DIR", help="for masks: where to write them over the pictures"
    )
    command.set_defaults(run=commands.predict)

    command = subparsers.add_parser(
        "export", parents=[*shared], help="one file of a run: weights, settings or a script"
    )
    command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
    command.add_argument("--format", required=True, metavar="FORMAT", help=f"one of {', '.join(commands.EXPORTS)}")
    command.add_argument("--output", type=Path, metavar="PATH", help="file or folder (default: exports/ of the run)")
    command.set_defaults(run=commands.export)

    command = subparsers.add_parser("serve", help="answer commands, one JSON line each, on standard input")
    command.set_defaults(run=_serve)
    command = subparsers.add_parser("standby", help="load torch, then wait for a command to become")
    command.set_defaults(run=_standby)
    return parser


def _add_measuring(subparsers: Any, shared: list[argparse.ArgumentParser]) -> None:
    """Commands that choose by measuring."""
    command = subparsers.add_parser(
        "compare-precisions", parents=[*shared], help="speed and memory of each precision, measured"
    )
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--steps", type=int, default=6, help="timed steps of each (default 6)")
    command.set_defaults(run=measure_commands.compare_precisions)

    command = subparsers.add_parser("find-batch", parents=[*shared], help="the largest batch that fits, measured")
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDE_HELP)
    command.add_argument("--global-batch", type=int, metavar="N", help="images that are to make one step")
    command.set_defaults(run=measure_commands.find_batch)


def _shared_options() -> list[argparse.ArgumentParser]:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of runs (default runs)")
    options.add_argument("--json", action="store_true", help="the last line is one JSON object")
    return [options]


# ------------------------------------------- processes that answer or become any command, so they are given ``main``
def _serve(arguments: argparse.Namespace) -> int:
    """``serve``: the assistant of the page."""
    from fine_tuner.launch.serve import serve

    return serve(main)


def _standby(arguments: argparse.Namespace) -> int:
    """``standby``: a process with torch loaded, ready to become a worker."""
    from fine_tuner.launch.standby import wait_and_run

    return wait_and_run(main, preload=("torch", "torchvision", "fine_tuner.training.run.worker"))
