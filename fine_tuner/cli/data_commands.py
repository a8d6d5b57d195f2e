"""The commands about data: what it is, what is wrong with it, how it will look.

Each takes the parsed arguments and returns its exit code.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fine_tuner.cli.arguments import Commands, add_overrides, print_answer, print_json, read_settings
from fine_tuner.cli.progress import progress_lines
from fine_tuner.config.io import apply_overrides, parse
from fine_tuner.config.settings import TASKS
from fine_tuner.data.options import READ_OPTIONS, ReadOptions


def add_commands(commands: Commands) -> None:
    """Their words and options."""
    command = commands.add("check-data", check_data, "what the data is, and what is wrong with it")
    command.add_argument("path", metavar="PATH", help="as data.path: a folder, a zip, a table, torchvision:NAME")
    add_overrides(command, "settings of data, train.batch_size, seed")
    command.add_argument("--task", choices=TASKS, help="what it is to be used for (default: what it seems made for)")
    command.add_argument("--thumbnails", type=Path, metavar="DIR", help="where to write small pictures of the examples")
    command = commands.add("recognise", recognise, "what the data seems to be, at a glance")
    command.add_argument("path", metavar="PATH")
    add_overrides(command, "settings of data")
    command = commands.add("unstack", take_apart, "each slice of files with several as a file of its own")
    command.add_argument("path", type=Path, metavar="FOLDER", help="of images, or of images and masks")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for all of it")
    command = commands.add(
        "decoded", decoded_pictures, "how much disk the pictures that are kept decoded take, and where"
    )
    command.add_argument("--delete", action="store_true", help="delete them; runs at work decode again")
    command = commands.add_of_settings("preview-data", preview_data, "pictures as the network will see them")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures are written")
    command.add_argument("--count", type=int, default=12, help="how many pictures (default 12)")
    command.add_argument("--shuffle", type=int, default=0, help="which draw of pictures and augmentation (default 0)")
    command.add_argument("--only", default="", metavar="CLASS", help="only pictures of this class, or with it")


def preview_data(arguments: argparse.Namespace) -> int:
    """``preview-data``: write a few augmented training images as PNG."""
    from fine_tuner.planning.data_preview import write_preview

    settings = read_settings(arguments.config, arguments.overrides)
    result = write_preview(settings, arguments.out, count=arguments.count, draw=arguments.shuffle, only=arguments.only)
    if arguments.json:
        print_json(result)
    else:
        print("\n".join(f"{image['file']}  {image['label']}" for image in result["images"]))
    return 0


def check_data(arguments: argparse.Namespace) -> int:
    """``check-data``: recognise the data and report findings; 2 if a run on it would not start."""
    from fine_tuner.data.checks.check import check_data as run_check
    from fine_tuner.data.checks.thumbnails import write_thumbnails

    task = [f"task={arguments.task}"] if arguments.task else []
    tree = apply_overrides({}, [*arguments.overrides, *task])
    settings = parse({**tree, "data": {**tree.get("data", {}), "path": arguments.path}})
    report = run_check(
        arguments.path,
        task=tree.get("task"),
        val_fraction=settings.data.val_fraction,
        seed=settings.seed,
        batch_size=settings.train.batch_size,
        progress=progress_lines(is_json=arguments.json, pause_seconds=0.25 if arguments.json else 2.0),
        **{name: getattr(settings.data, name) for name in READ_OPTIONS},
    )
    found = report.to_json()
    if arguments.thumbnails is not None:
        found = write_thumbnails(found, arguments.thumbnails)
    if arguments.json:
        print_json(found)
    else:
        print(report)
    return 0 if report.can_train else 2


def recognise(arguments: argparse.Namespace) -> int:
    """``recognise``: what the data seems to be, at a glance; 2 if a run on it would not start."""
    from fine_tuner.data.checks.first_look import look_at

    progress = progress_lines(is_json=arguments.json, pause_seconds=2.0)
    settings = parse(apply_overrides({}, arguments.overrides))
    chosen = ReadOptions(**{name: getattr(settings.data, name) for name in READ_OPTIONS})
    found = look_at(
        arguments.path,
        val_fraction=settings.data.val_fraction,
        seed=settings.seed,
        options=chosen,
        progress=progress,
    )
    print_answer(arguments, found.to_json(), lambda _: str(found))
    return 0 if found.can_train else 2


def decoded_pictures(arguments: argparse.Namespace) -> int:
    """``decoded``: tell of the pictures that are kept decoded, or delete them."""
    from fine_tuner.data.files.decoded_folder import DecodedFolder

    folder = DecodedFolder.of_cache()
    held = folder.used_bytes()
    if arguments.delete:
        folder.delete()
    left = folder.used_bytes()
    if arguments.json:
        print_json({"folder": str(folder.path), "mib": left / 2**20, "deleted_mib": (held - left) / 2**20})
    else:
        print(f"{folder.path}: {left / 2**20:,.0f} MiB" + f", {(held - left) / 2**20:,.0f} deleted" * arguments.delete)
    return 0


def take_apart(arguments: argparse.Namespace) -> int:
    """``unstack``: write the slices of stacks as files of their own."""
    from fine_tuner.data.files.slices import unstack

    progress = progress_lines(is_json=arguments.json, pause_seconds=2.0)
    stacks, slices = unstack(arguments.path, arguments.out, progress)
    if arguments.json:
        print_json({"out": str(arguments.out), "stacks": stacks, "slices": slices})
    else:
        print(f"{stacks:,} of several pictures each written as {slices:,} to {arguments.out}")
    return 0
