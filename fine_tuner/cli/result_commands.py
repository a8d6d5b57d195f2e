"""The commands about what trained networks get right and wrong, where they look, and which labels they doubt.

Each takes the parsed arguments and returns its exit code. torch is imported by those that need it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError
from fine_tuner.cli.arguments import Commands, find_run, print_answer
from fine_tuner.cli.progress import progress_lines
from fine_tuner.runs.answering import choose_answering, read_answering
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import BEST, results_of

_SHOWN = 20


def add_commands(commands: Commands) -> None:
    """Their words and options."""
    command = commands.add_of_run("evaluate", evaluate, "what a run gets right and wrong, kept in its folder results/")
    command.add_argument("--split", choices=("val", "test", "train"), default="val", help="which images (default val)")
    command.add_argument("--data", default="", metavar="PATH", help="other images with the run's classes, in its place")
    command.add_argument("--weights", default="best", help="best (default), last, or the step of a kept checkpoint")
    command = commands.add_of_run("answer", answer, "choose temperature and thresholds of a run's answers")
    command.add_argument("--temperature", metavar="T", help="that of its results (auto), a number, or off")
    command.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="LABEL=P",
        help="say LABEL from probability P on; any number",
    )
    commands.add_of_run("suspects", suspects, "images whose label is probably wrong, or that stand out")
    command = commands.add_of_run("explain", explain, "where the best network of a run looked in a picture")
    command.add_argument("image", type=Path, metavar="IMAGE")
    command.add_argument("--name", default="", help="of a class, label or number; default: what it says")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where heat.png and seen.png are written"
    )


def evaluate(arguments: argparse.Namespace) -> int:
    """``evaluate``: metrics, a row for each image and figures, of a split or of other images."""
    from fine_tuner.base.files import strict
    from fine_tuner.evaluation.evaluate_run import evaluate_run, evaluation_text

    tell = progress_lines(is_json=arguments.json, pause_seconds=0.3)
    found = evaluate_run(
        find_run(arguments), arguments.split, weights=arguments.weights, data=arguments.data, on_progress=tell
    )
    if arguments.json:
        found = strict(found)
    print_answer(arguments, found, evaluation_text)
    return 0


def answer(arguments: argparse.Namespace) -> int:
    """``answer``: how ``predict`` and the page answer from now on."""
    run = find_run(arguments)
    thresholds = {}
    for item in arguments.threshold:
        name, _, text = item.rpartition("=")
        thresholds[name] = _number(text, "--threshold LABEL=P", 0, 1)
    choose_answering(run, temperature=_temperature(run, arguments.temperature), thresholds=thresholds)
    chosen = read_answering(run)
    found = {"run": run.id, "temperature": chosen.temperature, "thresholds": dict(chosen.thresholds)}
    print_answer(arguments, found, lambda _: f"temperature {chosen.temperature:.4g}, thresholds {found['thresholds']}")
    return 0


def _temperature(run: RunFolder, text: str | None) -> float | None:
    if text is None:
        return None
    if text == "off":
        return 1.0
    if text != "auto":
        return _number(text, "--temperature", 0.001, 1000)
    figures = results_of(run, f"val-{BEST}").read() or {}
    if "calibration" not in figures:
        raise InputError(f"The results of run {run.id} have no temperature. Evaluate it: it must tell classes.")
    return float(figures["calibration"]["temperature"])


def _number(text: str, what: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InputError(f"{what}: {text!r} is no number from {low:g} to {high:g}.")
    return value


def suspects(arguments: argparse.Namespace) -> int:
    """``suspects``: a list, wrong labels first."""
    from fine_tuner.evaluation.suspects_of_run import find_suspects

    tell = progress_lines(is_json=arguments.json, pause_seconds=0.3)
    print_answer(arguments, find_suspects(find_run(arguments), tell), _suspects_text)
    return 0


def _suspects_text(found: dict[str, Any]) -> str:
    rows = found["suspects"]
    lines = [f"{found['num_wrong']} of {found['images']} images have a label that is probably wrong"]
    for row in rows[:_SHOWN]:
        seems = f" -> {row['seems']}" if row["seems"] else ""
        others = [reason for reason in row["reasons"] if reason != "label"]
        lines.append(f"{row['file']}: {row['label']}{seems}" + (f" ({', '.join(others)})" if others else ""))
    if len(rows) > _SHOWN:
        lines.append(f"... and {len(rows) - _SHOWN} more; --json lists them")
    lines += [
        f"{key} alone tells the class in {100 * share:.0f} % of what chance does not"
        for key, share in found["tells"].items()
    ]
    return "\n".join(lines)


def explain(arguments: argparse.Namespace) -> int:
    """``explain``: Grad-CAM of one picture."""
    from fine_tuner.predict import Predictor

    predictor = Predictor.of_run(find_run(arguments))
    found = predictor.looked(arguments.image, arguments.out / "heat.png", name=arguments.name)
    print_answer(arguments, found, lambda answer: f"{answer['name']}: {answer['heat']} over {answer['seen']}")
    return 0
