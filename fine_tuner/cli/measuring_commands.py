"""The commands that say what will happen, and choose by measuring, before a run is trained.

Each takes the parsed arguments and returns its exit code. torch is imported by those that need it.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from fine_tuner.base.errors import InputError
from fine_tuner.cli.arguments import (
    CONFIG_HELP,
    Commands,
    add_overrides,
    print_answer,
    read_settings,
)
from fine_tuner.cli.progress import progress_lines
from fine_tuner.config.sections.loss_inputs import IgnoredPixels, LossInputs
from fine_tuner.config.sections.losses import CustomLoss
from fine_tuner.config.settings import TASKS, Settings
from fine_tuner.config.tasks import DEFAULT_TASK
from fine_tuner.losses.check.report import describe_report
from fine_tuner.losses.verdicts import given_to
from fine_tuner.planning.loss_checks import admit_code, check_code


def add_commands(commands: Commands) -> None:
    """Their words and options."""
    command = commands.add_of_settings("plan", plan, "what will happen, without training")
    command.add_argument("--measure", action="store_true", help="time a few steps, where no speed is known")
    command = commands.add_of_settings("preview-schedule", preview_schedule, "the planned rates, without the data")
    command.add_argument("--total-steps", type=int, required=True, help="steps of the run")
    command.add_argument("--steps-per-epoch", type=int, required=True, help="steps of one epoch")
    command.add_argument("--groups", required=True, metavar="JSON", help='rates by group, as {"head": 1e-3}')
    command = commands.add_of_settings("find-lr", find_lr, "suggest a learning rate by a short sweep")
    command.add_argument("--steps", type=int, default=100, help="steps of the sweep (default 100)")
    command = commands.add_of_settings(
        "compare-precisions", compare_precisions, "speed and memory of each precision, measured"
    )
    command.add_argument("--steps", type=int, default=6, help="timed steps of each (default 6)")
    command = commands.add_of_settings("find-batch", find_batch, "the largest batch that fits, measured")
    command.add_argument("--global-batch", type=int, metavar="N", help="images that are to make one step")
    command = commands.add("check-loss", check_loss, "try a loss of your own before it trains")
    command.add_argument("file", type=Path, metavar="FILE")
    add_overrides(command)
    command.add_argument("--task", choices=TASKS, help="that of CONFIG, else classification")
    command.add_argument(
        "--entry", default="", metavar="NAME", help="function, class or object; by default the only one"
    )
    command.add_argument("--inputs", choices=get_args(LossInputs), help="what the code is given (default auto)")
    command.add_argument("--arguments", help='for its constructor or call: "gamma=2.0, alpha=0.5"')
    command.add_argument("--ignored", choices=get_args(IgnoredPixels), help="pixels to ignore (default auto)")
    command.add_argument("--config", metavar="CONFIG", help=f"whose data and network to try it on: {CONFIG_HELP}")
    commands.add_of_settings("loss-curve", loss_curve, "value and gradient of a loss, as curves")
    commands.add_of_settings("loss-inputs", loss_inputs, "what a loss of your own can be given of these images")


def plan(arguments: argparse.Namespace) -> int:
    """``plan``: derived numbers, schedule and network, without training."""
    from fine_tuner.planning.plan import make_plan, plan_text

    settings = read_settings(arguments.config, arguments.overrides)
    admit_code(settings)
    print_answer(arguments, make_plan(settings, may_measure=arguments.measure), plan_text)
    return 0


def preview_schedule(arguments: argparse.Namespace) -> int:
    """``preview-schedule``: the rates of a run of given length and groups."""
    from fine_tuner.planning.schedule_preview import preview_schedule as run_preview
    from fine_tuner.planning.schedule_preview import schedule_text

    result = run_preview(
        read_settings(arguments.config, arguments.overrides),
        arguments.groups,
        total_steps=arguments.total_steps,
        steps_per_epoch=arguments.steps_per_epoch,
    )
    print_answer(arguments, result, schedule_text)
    return 0


def find_lr(arguments: argparse.Namespace) -> int:
    """``find-lr``: sweep the learning rate and suggest two values."""
    from fine_tuner.planning.lr_finder import find_lr_of_settings, finder_text

    lines = progress_lines(is_json=arguments.json)

    def tell(done: int, steps: int, lr: float, loss: float) -> None:
        point = [lr, loss if math.isfinite(loss) else None]
        lines(f"lr {lr:.2e}, loss {loss:.4f}, step", done, steps, point=point)

    settings = read_settings(arguments.config, arguments.overrides)
    admit_code(settings)
    print_answer(arguments, find_lr_of_settings(settings, steps=arguments.steps, progress=tell), finder_text)
    return 0


def compare_precisions(arguments: argparse.Namespace) -> int:
    """``compare-precisions``: speed and memory of each precision and memory format, on model and data of the user."""
    from fine_tuner.planning.precision_comparison import compare_precisions as run_comparison
    from fine_tuner.planning.precision_comparison import comparison_text

    settings = read_settings(arguments.config, arguments.overrides)
    admit_code(settings)
    print_answer(
        arguments, run_comparison(settings, steps=arguments.steps, on_progress=_steps(arguments)), comparison_text
    )
    return 0


def find_batch(arguments: argparse.Namespace) -> int:
    """``find-batch``: the largest batch that fits, and accumulation to a wanted one."""
    from fine_tuner.planning.batch_finder import batch_text
    from fine_tuner.planning.batch_finder import find_batch as run_finder

    settings = read_settings(arguments.config, arguments.overrides)
    admit_code(settings)
    result = run_finder(settings, global_batch_size=arguments.global_batch, on_progress=_steps(arguments))
    print_answer(arguments, result, batch_text)
    return 0


def _steps(arguments: argparse.Namespace) -> Callable[[int, int, str], None]:
    tell = progress_lines(is_json=arguments.json)
    return lambda done, total, what: tell(what, done, total)


def check_loss(arguments: argparse.Namespace) -> int:
    """``check-loss``: run a custom loss in a child with limits."""
    if arguments.overrides and arguments.config is None:
        raise InputError(f"{arguments.overrides[0]!r} is a setting without settings. Name them: --config CONFIG.")
    settings = None
    if arguments.config is not None:
        task = [f"task={arguments.task}"] if arguments.task else []
        settings = read_settings(arguments.config, [*arguments.overrides, *task])
    task = settings.task if settings is not None else arguments.task or DEFAULT_TASK
    tell, told = progress_lines(is_json=arguments.json), ""

    def on_stage(stage: str) -> None:
        nonlocal told
        if arguments.json and stage != told:
            told = stage
            tell(stage, 0)

    about = {"task": task, "entry": arguments.entry, "settings": settings, "on_stage": on_stage}
    report = check_code(arguments.file, **about, given=given_to(_loss_asked(arguments, settings)))
    print_answer(arguments, report, describe_report)
    return 0 if report["ok"] else 2


def _loss_asked(arguments: argparse.Namespace, settings: Settings | None) -> CustomLoss:
    """What the code is given: as the options say, else as the settings do."""
    loss = settings.loss if settings is not None and isinstance(settings.loss, CustomLoss) else CustomLoss()
    options = {name: getattr(arguments, name) for name in ("inputs", "arguments", "ignored")}
    return dataclasses.replace(loss, **{name: value for name, value in options.items() if value})


def loss_curve(arguments: argparse.Namespace) -> int:
    """``loss-curve``: what a loss does, without data; the user's own code is drawn by its check."""
    from fine_tuner.losses.curves import loss_curve as curves_of

    settings = read_settings(arguments.config, arguments.overrides)
    result = curves_of(settings.loss, settings.task, second=settings.second_loss)
    print_answer(arguments, result, _curve_text)
    return 0


def loss_inputs(arguments: argparse.Namespace) -> int:
    """``loss-inputs``: the forms of output and target, with an example of the data; no code of the user's is run."""
    from fine_tuner.planning.loss_inputs import inputs_text
    from fine_tuner.planning.loss_inputs import loss_inputs as inputs_of

    print_answer(arguments, inputs_of(read_settings(arguments.config, arguments.overrides)), inputs_text)
    return 0


def _curve_text(result: dict[str, Any]) -> str:
    lines = [f"{result['name']}: {result['formula']}", result["source"]]
    for panel in result["panels"]:
        lines += ["", f"{panel['x_label']}\t{panel['value_label']}\t{panel['gradient_label']}"]
        rows = zip(panel["x"], panel["value"], panel["gradient"], strict=True)
        lines += ["\t".join("none" if v is None else f"{v:.6g}" for v in row) for row in rows]
    return "\n".join(lines)
