"""The commands about the runs that there are: names, trash, queue, comparison, what their networks say, exports.

Each takes the parsed arguments and returns its exit code. torch is imported by those that need it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fine_tuner.base.files import strict
from fine_tuner.cli.arguments import Commands, find_run, print_answer, print_json
from fine_tuner.cli.comparison import compare_text
from fine_tuner.evaluation.paired import compare_pair
from fine_tuner.export.run_export import FORMATS, ExportOptions, export_run
from fine_tuner.runs import queue
from fine_tuner.runs.publishing import Published, publish
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.compare import compare_runs


def add_commands(commands: Commands) -> None:
    """Their words and options."""
    command = commands.add_of_run("predict", predict, "what a run's best network says of pictures")
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    command.add_argument("--raw", action="store_true", help="without the temperature and thresholds chosen for it")
    command.add_argument(
        "--overlays", type=Path, metavar="DIR", help="for masks: where to write them over the pictures"
    )
    command = commands.add_of_run("export", export, "a run for elsewhere: weights, network, settings, script, page")
    command.add_argument("--format", required=True, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
    command.add_argument("--output", type=Path, metavar="PATH", help="file or folder (default: exports/ of the run)")
    command.add_argument("--force", action="store_true", help="replace a file that is there already")
    command.add_argument(
        "--preprocessing", choices=("inside", "outside"), default="outside",
        help="of a network: takes pixels and normalises them itself, or normalised numbers (default outside)",
    )  # fmt: skip
    command.add_argument(
        "--runtime", type=Path, metavar="DIR", help="of 'web': dist/ of the npm package onnxruntime-web, for no network"
    )
    command = commands.add("compare", compare, "settings in which runs differ, and the best of each")
    command.add_argument("ids", nargs="+", metavar="RUN", help="a run's id, or its folder; two or more")
    command = commands.add_of_run("rename", rename, "give a run another title")
    command.add_argument("title", metavar="TITLE")
    command = commands.add_of_run("tag", tag, "give a run these tags, and no others")
    command.add_argument("tags", nargs="*", metavar="TAG")
    command = commands.add_of_run("note", note, "write a note about a run")
    command.add_argument("text", metavar="TEXT")
    command = commands.add_of_run("publish", publish_command, "show a run to those with a viewer's link of the app")
    command.add_argument("--model", action="store_true", help="let them try its best weights on pictures of theirs")
    commands.add_of_run("unpublish", unpublish, "show a run to the owner alone")
    commands.add_of_run("delete", delete, "move a run to the trash; 'restore' takes it back")
    commands.add_of_run("restore", restore, "take a deleted run back")
    command = commands.add("queue", queue_command, "the runs that wait for a device; or move one")
    command.add_argument("id", nargs="?", metavar="RUN", help="the run to move")
    command.add_argument("--place", type=int, default=0, help="where to: 0 is the next to start (default)")


# ------------------------------------------------------- what their networks do
def predict(arguments: argparse.Namespace) -> int:
    """``predict``: the answer of the best checkpoint for each picture."""
    from fine_tuner.predict import Predictor, answer_text

    run = find_run(arguments)
    predictor = Predictor.of_run(run, is_raw=arguments.raw)
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
                "predictions": strict(answers),  # a network whose weights overflow answers NaN
            }
        )
    else:
        for answer in answers:
            print(answer_text(answer))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """``export``: one file or folder made from a run's folder."""
    made = export_run(
        find_run(arguments), arguments.format, arguments.output, may_replace=arguments.force,
        options=ExportOptions(preprocessing=arguments.preprocessing, runtime=arguments.runtime),
    )  # fmt: skip
    files = [made.path] if made.path.is_file() else [file for file in made.path.rglob("*") if file.is_file()]
    if arguments.json:
        told = {"check": strict(made.check), "snippet": made.snippet} if made.check else {}
        size = sum(file.stat().st_size for file in files)
        print_json({"file": str(made.path), "format": arguments.format, "bytes": size, **told})
    else:
        print("\n".join([str(made.path), *made.lines, *(["", made.snippet.rstrip()] if made.snippet else [])]))
    return 0


# --------------------------------------------------------- what is known of them
def compare(arguments: argparse.Namespace) -> int:
    """``compare``: settings that differ, and the best that each run reached."""
    store = RunStore(arguments.runs)
    runs = [store.find(text) for text in dict.fromkeys(arguments.ids)]
    found = compare_runs(runs, store.view_of)
    if len(runs) == 2:
        found["paired"] = compare_pair(*runs, ("[1]", "[2]"))
    print_answer(arguments, found, compare_text)
    return 0


def rename(arguments: argparse.Namespace) -> int:
    """``rename``: another title; the folder keeps its name."""
    return _annotate(arguments, title=arguments.title)


def tag(arguments: argparse.Namespace) -> int:
    """``tag``: these tags, and no others."""
    return _annotate(arguments, tags=arguments.tags)


def note(arguments: argparse.Namespace) -> int:
    """``note``: a text about the run."""
    return _annotate(arguments, note=arguments.text)


def _annotate(arguments: argparse.Namespace, **notes: Any) -> int:
    run = find_run(arguments)
    store = RunStore(run.path.parent)
    store.annotate(run.id, **notes)
    line = store.summary(run.id)
    if arguments.json and line is not None:
        print_json(line.to_json())
    else:
        print(f"{run.id}: " + ", ".join(f"{name} {value!r}" for name, value in notes.items()))
    return 0


def publish_command(arguments: argparse.Namespace) -> int:
    """``publish``: show a run, or its model too."""
    return _show(arguments, Published(run=True, model=arguments.model))


def unpublish(arguments: argparse.Namespace) -> int:
    """``unpublish``: show it no longer."""
    return _show(arguments, Published())


def _show(arguments: argparse.Namespace, wanted: Published) -> int:
    run = find_run(arguments)
    shown = publish(run, wanted)
    if arguments.json:
        print_json({"run": run.id, "published": {"run": shown.run, "model": shown.model}})
    else:
        print(f"{run.id} is {'shown to' if shown.run else 'hidden from'} viewers{', to try too' * shown.model}.")
    return 0


# ---------------------------------------------------------- trash and queue
def delete(arguments: argparse.Namespace) -> int:
    """``delete``: to the trash of the runs folder."""
    run = find_run(arguments)
    RunStore(run.path.parent).delete(run.id)
    print(f"{run.id}: deleted. 'restore {run.id}' takes it back.")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """``restore``: out of the trash."""
    run = RunStore(arguments.runs).restore(arguments.id)
    print(f"{run.id}: taken back")
    return 0


def queue_command(arguments: argparse.Namespace) -> int:
    """``queue``: the runs that wait, next first; with RUN and a place, move it there."""
    store = RunStore(arguments.runs)
    if arguments.id is not None:
        queue.move(store.find(arguments.id), arguments.place)
    rows = [
        {"place": place, "run": entry.run.id, "devices": list(entry.devices)}
        for place, entry in enumerate(queue.waiting(store.root))
    ]
    if arguments.json:
        print_json({"queue": rows})
    else:
        print(
            "\n".join(f"{row['place']}  {row['run']}  {', '.join(row['devices'])}" for row in rows) or "No run waits."
        )
    return 0
