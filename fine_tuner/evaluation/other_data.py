"""Images that a run has not seen, as its network wants them: the same classes in the same order."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from fine_tuner.base.errors import DataError
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.options import READ_OPTIONS
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.data.sources import read_data


def split_name(path: str) -> str:
    """A name for the results of a folder: the same path gives the same."""
    return f"data_{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def read_other(path: str, own: DataSplits, settings: Settings) -> DataSplits:
    """All images at ``path`` as one split, called ``split_name(path)``, with the outputs of the run's own data.

    Raises:
        DataError: If they cannot be read, or have a class that the run does not know.
    """
    options = {name: getattr(settings.data, name) for name in READ_OPTIONS}
    found = read_data(path, task=own.task, val_fraction=settings.data.val_fraction, seed=settings.seed, **options)
    unknown = [name for name in found.output_names if name not in own.output_names]
    if unknown:
        raise DataError(
            f"{path} has {', '.join(map(repr, unknown[:5]))}, which the run does not know: it has "
            f"{', '.join(own.output_names)}. Rename the folders, columns or classes to match, or leave them out."
        )
    kind = target_kind(own.task)
    if kind is TargetKind.MASK and found.mask_coding != own.mask_coding:
        raise DataError(
            f"The masks of {path} hold other values than those that the run was trained on. Write them with the same "
            "values, or give data.mask_classes as for the run."
        )
    records = tuple(record for rows in found.splits.values() for record in rows)
    if found.output_names != own.output_names:
        records = tuple(_renumbered(record, found, own, kind) for record in records)
    return replace(own, splits={split_name(path): records}, root=found.root)


def _renumbered(record: Record, found: DataSplits, own: DataSplits, kind: TargetKind) -> Record:
    """A record whose target is in the run's order."""
    if kind is TargetKind.CLASS:
        return replace(record, target=own.output_names.index(found.output_names[record.target]))
    if kind is TargetKind.LABELS:
        values = dict(zip(found.output_names, record.target, strict=True))
        return replace(record, target=tuple(values.get(name, 0.0) for name in own.output_names))
    raise DataError(
        f"{record.image.parent} has other numbers or classes ({', '.join(found.output_names)}) than the run "
        f"({', '.join(own.output_names)}). Give the same columns."
    )
