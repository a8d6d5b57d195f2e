"""What the commands about the runs that there are do: names, trash, queue, comparison, clones, more epochs.

Each takes the parsed arguments of the command line and returns its exit code.
"""

from __future__ import annotations

import argparse
from typing import Any

from fine_tuner.cli import commands
from fine_tuner.cli.commands import ask_worker, find_run, print_json, train_folder
from fine_tuner.runs import control, queue
from fine_tuner.runs.publishing import Published, publish
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.compare import compare_runs, compare_text


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


def compare(arguments: argparse.Namespace) -> int:
    """``compare``: settings that differ, and the best that each run reached."""
    store = RunStore(arguments.runs)
    found = compare_runs(store, [store.find(text) for text in dict.fromkeys(arguments.ids)])
    if arguments.json:
        print_json(found)
    else:
        print(compare_text(found))
    return 0


def clone(arguments: argparse.Namespace) -> int:
    """``clone``: a new run with the settings of another, and changes."""
    parent = find_run(arguments)
    arguments.config, arguments.parent = str(parent.config), parent.id
    return commands.train(arguments)


def extend(arguments: argparse.Namespace) -> int:
    """``extend``: more epochs; a run that has ended trains on in this process."""
    from fine_tuner.launch.extension import check_extension
    from fine_tuner.runs.view.status import look

    run = find_run(arguments)
    check_extension(run, arguments.epochs)
    queue.claim(run)
    is_alive = look(run).is_alive
    control.request(run, "set", **{"train.epochs": arguments.epochs})
    if is_alive:
        print(f"{run.id}: asked for {arguments.epochs} epochs")
        return 0
    control.clear(run, "stop", "pause", "checkpoint", "evaluate")
    return train_folder(run, arguments)


def validate(arguments: argparse.Namespace) -> int:
    """``validate``: validate after the next step."""
    return ask_worker(arguments, "evaluate", "validate")


def save(arguments: argparse.Namespace) -> int:
    """``save``: write a checkpoint after the next step."""
    return ask_worker(arguments, "checkpoint", "save")


def evaluate(arguments: argparse.Namespace) -> int:
    """``evaluate``: metrics of the best weights over a split."""
    from fine_tuner.evaluation.evaluate_run import evaluate_run, evaluation_text
    from fine_tuner.runs.log.events import strict

    found = evaluate_run(find_run(arguments), arguments.split)
    if arguments.json:
        print_json(strict(found))
    else:
        print(evaluation_text(found))
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


def publish_command(arguments: argparse.Namespace) -> int:
    """``publish``: show a run, or its model too."""
    return _show(arguments, Published(run=True, model=arguments.model))


def unpublish(arguments: argparse.Namespace) -> int:
    """``unpublish``: show it no longer."""
    return _show(arguments, Published())


def _show(arguments: argparse.Namespace, wish: Published) -> int:
    run = find_run(arguments)
    shown = publish(run, wish)
    if arguments.json:
        print_json({"run": run.id, "published": {"run": shown.run, "model": shown.model}})
    else:
        print(f"{run.id} is {'shown to' if shown.run else 'hidden from'} viewers{', to try too' * shown.model}.")
    return 0


def add_commands(subparsers: Any, shared: list[argparse.ArgumentParser], override_help: str) -> None:
    """Their words and options."""

    def add(name: str, function: Any, what: str, *, has_run: bool = True) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, parents=[*shared], help=what)
        if has_run:
            command.add_argument("id", metavar="RUN", help="a run's id, or its folder")
        command.set_defaults(run=function)
        return command

    command = add("clone", clone, "train a new run with the settings of another, and changes")
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=override_help)
    command = add("extend", extend, "more epochs, the schedule fitted to them; a run that has ended goes on")
    command.add_argument("epochs", type=int, metavar="EPOCHS", help="how many the run is to have in all")
    add("validate", validate, "validate a run at work after its next step")
    add("save", save, "write a checkpoint of a run at work after its next step")
    command = add("evaluate", evaluate, "metrics of a run's best weights over its validation or test images")
    command.add_argument("--split", choices=("val", "test"), default="val", help="which images (default val)")
    command = add("compare", compare, "settings in which runs differ, and the best of each", has_run=False)
    command.add_argument("ids", nargs="+", metavar="RUN", help="a run's id, or its folder; two or more")
    command = add("rename", rename, "give a run another title")
    command.add_argument("title", metavar="TITLE")
    command = add("tag", tag, "give a run these tags, and no others")
    command.add_argument("tags", nargs="*", metavar="TAG")
    command = add("note", note, "write a note about a run")
    command.add_argument("text", metavar="TEXT")
    command = add("publish", publish_command, "show a run to those with a viewer's link of the app")
    command.add_argument("--model", action="store_true", help="let them try its best weights on pictures of theirs")
    add("unpublish", unpublish, "show a run to the owner alone")
    add("delete", delete, "move a run to the trash; 'restore' takes it back")
    add("restore", restore, "take a deleted run back")
    command = add("queue", queue_command, "the runs that wait for a device; or move one", has_run=False)
    command.add_argument("id", nargs="?", metavar="RUN", help="the run to move")
    command.add_argument("--place", type=int, default=0, help="where to: 0 is the next to start (default)")
