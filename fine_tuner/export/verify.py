"""``verify BUNDLE``: make the first steps of a run again, and say whether they are the same, or where they part."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import InputError, RunError
from fine_tuner.base.files import read_json, write_json
from fine_tuner.config.io import parse, read_tree, replace
from fine_tuner.data.records import DataSplits
from fine_tuner.export.bundle import FACTS, differences, fingerprint, losses_of
from fine_tuner.planning.loss_checks import admit_code
from fine_tuner.runs import control
from fine_tuner.runs.identity import versions
from fine_tuner.runs.kept_losses import with_kept_losses
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.training.run.worker import run_worker


def verify(
    bundle: Path, *, steps: int, data: Path | None, on_progress: Callable[[str, float, float | None], None]
) -> dict[str, Any]:
    """Train the first steps of a bundle's run in a folder that is removed again.

    Args:
        bundle: As ``write_bundle`` writes it.
        steps: How many, at most.
        data: Where its pictures lie here; None: where they lay.
        on_progress: Told of each step.

    Returns:
        ``is_equal``, ``steps`` compared, ``parts_at`` (the first step whose loss differs; None), ``expected`` and
        ``found`` there, ``pictures`` (sentences about those that differ), ``versions`` (name to those of then and now,
        where they differ); JSON-able.

    Raises:
        InputError: If it is no bundle, a picture cannot be read, or its own code has not been checked here.
        RunError: If the repetition failed before its first step.
    """
    facts, here = read_json(bundle / FACTS), RunFolder(bundle)
    if facts is None:
        raise InputError(f"{bundle} is no bundle: it has no {FACTS}. Make one with 'export RUN --format bundle'.")
    settings = parse(with_kept_losses(read_tree(here.config), here))
    if data is not None:
        settings = replace(settings, f"data.path={json.dumps(str(data.resolve()))}")
    admit_code(settings)
    with tempfile.TemporaryDirectory(prefix="fine-tuner-verify-") as place:
        run = RunStore(Path(place)).create(settings, argv=["verify", str(bundle)])
        pictures = _place_splits(here, run, data, facts["pictures"])
        lines: list[str] = []

        def show(what: str, done: float, total: float | None) -> None:
            on_progress(what, min(done, steps), min(steps, total or steps))
            if done >= steps:
                control.request(run, "stop")

        run_worker(run, print_line=lines.append, show=show)
        found = losses_of(run)
        if not found:
            raise RunError(f"The repetition failed before its first step. {' '.join(lines[-3:])}")
        if pictures is None:  # they were read anew, and are compared afterwards
            pictures = differences(facts["pictures"], fingerprint(DataSplits.from_file(run.splits)))
    return _compared(facts["losses"], found, steps) | {
        "run": facts["run"],
        "pictures": pictures,
        "versions": _changed_versions((read_json(here.info) or {}).get("versions", {})),
    }


def _place_splits(here: RunFolder, run: RunFolder, data: Path | None, expected: Mapping[str, str]) -> list[str] | None:
    """Let ``run`` have the bundle's split if its pictures lie here; what differs in them, or None if they do not."""
    tree = json.loads(here.splits.read_text(encoding="utf-8"))
    root = Path(tree["root"]) if data is None else data.resolve()
    if not root.is_dir():
        return None
    run.splits.parent.mkdir(parents=True, exist_ok=True)
    write_json(run.splits, tree | {"root": str(root)}, indent=0)
    return differences(expected, fingerprint(DataSplits.from_file(run.splits)))


def _compared(expected: Mapping[str, Any], found: Mapping[int, float], steps: int) -> dict[str, Any]:
    theirs = {int(step): float(loss) for step, loss in expected.items()}
    common = [step for step in sorted(theirs) if step in found][:steps]
    apart = next((step for step in common if repr(found[step]) != repr(theirs[step])), None)
    return {
        "is_equal": apart is None,
        "steps": len(common),
        "parts_at": apart,
        "expected": None if apart is None else theirs[apart],
        "found": None if apart is None else found[apart],
    }


def _changed_versions(then: Mapping[str, str]) -> dict[str, list[str | None]]:
    now = versions()
    return {name: [then.get(name), now.get(name)] for name in {**then, **now} if then.get(name) != now.get(name)}


def verdict_text(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    if found["is_equal"]:
        lines = [f"Equal: the losses of the first {found['steps']} steps are those of {found['run']}, bit for bit."]
    else:
        lines = [
            f"They part at step {found['parts_at']}: the loss was {found['expected']!r} and is {found['found']!r} here."
        ]
    lines += found["pictures"]
    lines += [
        f"{name} was {then or 'absent'} and is {now or 'absent'}." for name, (then, now) in found["versions"].items()
    ]
    return "\n".join(lines)
