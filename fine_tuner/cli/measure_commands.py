"""The commands that choose by measuring: ``compare-precisions`` and ``find-batch``."""

from __future__ import annotations

import argparse
import sys

from fine_tuner.cli.commands import print_json, read_settings


def _tell(done: int, total: int, what: str) -> None:
    print(f"step {done}/{total}  {what}", file=sys.stderr, flush=True)


def compare_precisions(arguments: argparse.Namespace) -> int:
    """``compare-precisions``: speed and memory of each precision and memory format, on model and data of the user."""
    from fine_tuner.planning.precisions import compare_precisions as run_comparison
    from fine_tuner.planning.precisions import comparison_text

    settings = read_settings(arguments.config, arguments.overrides)
    result = run_comparison(settings, steps=arguments.steps, on_progress=_tell)
    if arguments.json:
        print_json(result)
    else:
        print(comparison_text(result))
    return 0


def find_batch(arguments: argparse.Namespace) -> int:
    """``find-batch``: the largest batch that fits, and accumulation to a wanted one."""
    from fine_tuner.planning.batches import batch_text
    from fine_tuner.planning.batches import find_batch as run_finder

    settings = read_settings(arguments.config, arguments.overrides)
    result = run_finder(settings, global_batch_size=arguments.global_batch, on_progress=_tell)
    if arguments.json:
        print_json(result)
    else:
        print(batch_text(result))
    return 0
