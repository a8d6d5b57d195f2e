"""What each command does. torch is imported by those that need it, so that the others answer at once.

Each takes the parsed arguments of the command line and returns its exit code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import ConfigError, InputError
from fine_tuner.cli.listing import list_things
from fine_tuner.config.io import apply_overrides, parse, read_tree, to_tree
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore

EXPORTS = ("safetensors", "yaml", "command", "script")
"""Formats of ``export``; told here so that ``--help`` needs no torch."""


# --------------------------------------------------------------- settings
def read_settings(config: str, overrides: Sequence[str]) -> Settings:
    """Settings from a YAML file or a preset, with overrides applied.

    Raises:
        ConfigError: Naming the dotted path of every bad setting.
    """
    is_file = config.endswith((".yaml", ".yml")) or Path(config).is_file()
    tree = read_tree(Path(config)) if is_file else to_tree(load_preset(config))
    return parse(apply_overrides(_with_kept_code(tree, Path(config).parent) if is_file else tree, overrides))


def _with_kept_code(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Settings out of a run's folder, with the losses that the run kept: what is repeated is the code that trained."""
    for section in ("loss", "second_loss"):
        kept = RunFolder(folder.resolve()).code / f"{section}.py"
        if kept.is_file() and tree.get(section, {}).get("name") == "custom":
            tree = {**tree, section: {**tree[section], "file": str(kept)}}
    return tree


def print_json(value: Any) -> None:
    """Strict JSON on one line."""
    print(json.dumps(value, allow_nan=False))


# --------------------------------------------------------------- commands
def train(arguments: argparse.Namespace) -> int:
    """``train``: make a run folder (unless given one) and train in this process."""
    if Path(arguments.config, "config.yaml").is_file():
        return train_folder(RunFolder(Path(arguments.config).resolve()), arguments)
    settings = read_settings(arguments.config, arguments.overrides)

    _refuse_unchecked(settings)

    from fine_tuner.training.run.console import Console
    from fine_tuner.training.run.prepare import prepare

    prepared = prepare(settings, on_progress=Console(_say).progress)  # wrong input leaves no run folder behind
    argv, parent = ["train", arguments.config, *arguments.overrides], getattr(arguments, "parent", None)
    return train_folder(RunStore(arguments.runs).create(settings, argv=argv, parent=parent), arguments, prepared)


def _refuse_unchecked(settings: Settings) -> None:
    """Raise ConfigError for code of the user's that has not passed its check, unless the settings insist."""
    from fine_tuner.planning.loss_checks import refusals

    if refused := refusals(settings):
        raise ConfigError(refused)


def _say(line: str) -> None:
    print(line, flush=True)


def train_folder(run: RunFolder, arguments: argparse.Namespace, prepared: Any = None) -> int:
    """Train a run in its folder, in this process; returns the exit code."""
    from fine_tuner.launch.devices import hold
    from fine_tuner.runs.log.cache_writer import CacheKeeper
    from fine_tuner.training.run.worker import run_worker

    devices = str(read_tree(run.config).get("devices", "auto"))
    with hold(run.path.parent, devices) as was_free, CacheKeeper(run):
        if not was_free:
            print("Another run is at work on this device; both go on, more slowly.", file=sys.stderr)
        code = run_worker(run, print_line=_say, prepared=prepared)
    print(f"run: {run.path}", flush=True)
    if arguments.json:
        print_json(RunStore(run.path.parent).summary(run.id).to_json())
    return code


def find_run(arguments: argparse.Namespace) -> RunFolder:
    """The run that was named by its folder or its id."""
    return RunStore(arguments.runs).find(arguments.id)


def resume(arguments: argparse.Namespace) -> int:
    """``resume``: train on, in this process, from the newest checkpoint."""
    run = find_run(arguments)
    from fine_tuner.runs import control

    control.clear(run, "stop", "pause", "checkpoint", "evaluate")  # a change of settings is still wished for
    return train_folder(run, arguments)


def stop(arguments: argparse.Namespace) -> int:
    """``stop``: ask the run to end within a step."""
    return ask_worker(arguments, "stop")


def pause(arguments: argparse.Namespace) -> int:
    """``pause``: ask the run to keep its state and free the device."""
    return ask_worker(arguments, "pause")


def set_command(arguments: argparse.Namespace) -> int:
    """``set``: change the rate or the length of a run between two of its steps."""
    changes = {}
    for item in arguments.changes:
        path, _, text = item.partition("=")
        try:
            changes[path] = float(text)
        except ValueError:
            raise ConfigError({path: f"{text!r} is not a number. Write {path}=0.5, for instance."}) from None
    return ask_worker(arguments, "set", **changes)


def ask_worker(arguments: argparse.Namespace, what: Any, word: str = "", **content: Any) -> int:
    """Leave a request for the worker of a run; one that waits leaves the queue when it is to stop or to pause."""
    from fine_tuner.runs import control, queue
    from fine_tuner.runs.view.status import look

    run, word = find_run(arguments), word or what
    if what in ("stop", "pause") and queue.cancel(run):
        print(f"{run.id}: taken out of the queue")
        return 0
    if not look(run).is_alive:
        raise InputError(f"Run {run.id} is not running, so there is nothing to {word}. 'list runs' shows which are.")
    control.request(run, what, **content)
    print(f"{run.id}: asked to {word}")
    return 0


def list_command(arguments: argparse.Namespace) -> int:
    """``list``: what can be chosen, and the runs."""
    rows = list_things(arguments.what, task=arguments.task, runs=arguments.runs)
    if arguments.json:
        print_json({arguments.what: rows})
    else:
        for row in rows:
            print("  ".join(str(value) for value in row.values() if value not in (None, "", [])))
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """``plan``: derived numbers, schedule and network, without training."""
    from fine_tuner.planning.plan import make_plan, plan_text

    settings = read_settings(arguments.config, arguments.overrides)
    result = make_plan(settings)
    print(json.dumps(result, allow_nan=False) if arguments.json else plan_text(result))
    return 0


def find_lr(arguments: argparse.Namespace) -> int:
    """``find-lr``: sweep the learning rate and suggest two values."""
    from fine_tuner.planning.finder import finder_text, run_finder

    def tell(done: int, steps: int, lr: float, loss: float) -> None:
        print(f"step {done}/{steps}  lr {lr:.2e}  loss {loss:.4f}", file=sys.stderr, flush=True)

    settings = read_settings(arguments.config, arguments.overrides)
    _refuse_unchecked(settings)
    result = run_finder(settings, steps=arguments.steps, on_point=tell)
    print(json.dumps(result, allow_nan=False) if arguments.json else finder_text(result))
    return 0


def preview_schedule(arguments: argparse.Namespace) -> int:
    """``preview-schedule``: the rates of a run of given length and groups."""
    from fine_tuner.planning.rates import preview_schedule as run_preview

    result = run_preview(
        read_settings(arguments.config, arguments.overrides),
        arguments.groups,
        total_steps=arguments.total_steps,
        steps_per_epoch=arguments.steps_per_epoch,
    )
    if arguments.json:
        print_json(result)
    else:
        for i, step in enumerate(result["steps"]):
            print(step, *(f"{name}={rates[i]:.6g}" for name, rates in result["groups"].items()), sep="  ")
    return 0


def check_loss(arguments: argparse.Namespace) -> int:
    """``check-loss``: run a custom loss in a child with limits."""
    from fine_tuner.losses.check.report import describe_report
    from fine_tuner.planning.loss_checks import check_code

    if arguments.overrides and arguments.config is None:
        raise InputError(f"{arguments.overrides[0]!r} is a setting without settings. Name them: --config CONFIG.")
    settings = None
    if arguments.config is not None:
        task = [f"task={arguments.task}"] if arguments.task else []
        settings = read_settings(arguments.config, [*arguments.overrides, *task])
    task = settings.task if settings is not None else arguments.task or "classification"
    report = check_code(arguments.file, task=task, entry=arguments.entry, settings=settings)
    if arguments.json:
        print_json(report)
    else:
        print(describe_report(report))
    return 0 if report["ok"] else 2


def loss_curve(arguments: argparse.Namespace) -> int:
    """``loss-curve``: what a loss does, without data; the user's own code is drawn by its check."""
    from fine_tuner.losses.curves import loss_curve as curves_of

    settings = read_settings(arguments.config, arguments.overrides)
    result = curves_of(settings.loss, settings.task, second=settings.second_loss)
    if arguments.json:
        print_json(result)
    else:
        print(f"{result['name']}: {result['formula']}\n{result['source']}")
        for panel in result["panels"]:
            print(f"\n{panel['x_label']}\t{panel['value_label']}\t{panel['gradient_label']}")
            rows = zip(panel["x"], panel["value"], panel["gradient"], strict=True)
            print("\n".join("\t".join("none" if v is None else f"{v:.6g}" for v in row) for row in rows))
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """``predict``: the answer of the best checkpoint for each picture."""
    from fine_tuner.predict import Predictor, answer_text

    run = find_run(arguments)
    predictor = Predictor.of_run(run)
    folder = arguments.overlays
    answers = [
        {"image": str(image), **predictor.predict(image, overlay=folder and folder / f"{number:03d}.png")}
        for number, image in enumerate(arguments.images)
    ]
    if arguments.json:
        print_json(
            {
                "run": run.id,
                "weights": {k: predictor.about.get(k) for k in ("network", "classes", "step", "epoch", "best")},
                "predictions": answers,
            }
        )
    else:
        for answer in answers:
            print(answer_text(answer))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """``export``: one file made from a run's folder."""
    from fine_tuner.export.run_export import export_run

    path = export_run(find_run(arguments), arguments.format, arguments.output)
    if arguments.json:
        print_json({"file": str(path), "format": arguments.format, "bytes": path.stat().st_size})
    else:
        print(path)
    return 0
