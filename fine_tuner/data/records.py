"""What a data set is once it has been read: records, classes, splits and how they are drawn; to and from a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.base.files import write_json
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.notices import Notice

Target = int | tuple[float, ...] | Path
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image.

    Attributes:
        image: The image file.
        target: Class index (classification), 0.0 or 1.0 per label (multi-label), numbers (regression), or the file of
            the mask (segmentation).
        group: Records of one group stay in one split (several photos of one patient).
    """

    image: Path
    target: Target
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """A data set that has been read and split.

    Attributes:
        task: classification, multilabel, regression or segmentation.
        classes: Names in the order of the outputs; empty for regression.
        splits: ``train``, ``val`` and, where the data has it, ``test``.
        kind: What was recognised, in words.
        root: Folder that the files' names are relative to.
        notices: What the user should read: what was left out, what was decided.
        target_names: Names of the numbers (regression).
        mask_coding: How values in mask files become class indices (segmentation).
        pixel_counts: Pixels of each class over the masks of train (segmentation).
        pixel_range: Black and white of pictures of more than 8 bits; None if there are none.
    """

    task: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Record, ...]]
    kind: str
    root: Path
    notices: tuple[Notice, ...] = ()
    target_names: tuple[str, ...] = ()
    mask_coding: MaskCoding | None = None
    pixel_counts: tuple[int, ...] | None = None
    pixel_range: tuple[int, int] | None = None

    @property
    def output_names(self) -> tuple[str, ...]:
        """Name of each output of the network: the classes, or for regression the numbers."""
        return self.target_names if target_kind(self.task) is TargetKind.NUMBERS else self.classes

    @property
    def num_outputs(self) -> int:
        """Outputs that the head must have."""
        return len(self.output_names)

    def class_counts(self, split: str = "train") -> tuple[int, ...] | None:
        """Images of each class (classification) or with each label (multi-label), or pixels of each class of train.

        None for regression, and for the pixels of another split.
        """
        records = self.splits.get(split, ())
        if target_kind(self.task) is TargetKind.CLASS:
            counts = Counter(r.target for r in records)
            return tuple(counts[i] for i in range(len(self.classes)))
        if target_kind(self.task) is TargetKind.LABELS:
            return tuple(int(sum(r.target[i] for r in records)) for i in range(len(self.classes)))
        return self.pixel_counts if split == "train" else None

    def target_mean_and_sd(self, split: str = "train") -> tuple[tuple[float, float], ...] | None:
        """Mean and standard deviation of each number over a split (regression), else None."""
        if target_kind(self.task) is not TargetKind.NUMBERS:
            return None
        columns = zip(*(r.target for r in self.splits[split]), strict=True)
        return tuple(_mean_and_sd(column) for column in columns)

    # ------------------------------------------------------------- the file
    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` gives an equal object back. Files below ``root`` are written relative to it."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "kind": self.kind,
            "root": str(self.root),
            "classes": list(self.classes),
            "target_names": list(self.target_names),
            "mask_coding": self.mask_coding.to_json() if self.mask_coding else None,
            "pixel_counts": list(self.pixel_counts) if self.pixel_counts else None,
            "pixel_range": list(self.pixel_range) if self.pixel_range else None,
            "notices": [notice.to_json() for notice in self.notices],
            "splits": {name: [self._record_to_json(r) for r in records] for name, records in self.splits.items()},
        }

    def _record_to_json(self, record: Record) -> dict[str, Any]:
        target = record.target
        out: dict[str, Any] = {"image": self._relative(record.image)}
        if isinstance(target, Path):
            out["mask"] = self._relative(target)
        else:
            out["target"] = list(target) if isinstance(target, tuple) else target
        if record.group is not None:
            out["group"] = record.group
        return out

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> DataSplits:
        """Inverse of ``to_json``."""
        root = Path(tree["root"])
        coding = tree["mask_coding"]
        return cls(
            task=tree["task"],
            kind=tree["kind"],
            root=root,
            classes=tuple(tree["classes"]),
            target_names=tuple(tree["target_names"]),
            mask_coding=MaskCoding.from_json(coding) if coding else None,
            pixel_counts=tuple(tree["pixel_counts"]) if tree["pixel_counts"] else None,
            pixel_range=tuple(tree["pixel_range"]) if tree.get("pixel_range") else None,
            notices=tuple(map(Notice.from_json, tree["notices"])),
            splits={name: tuple(_record(r, root) for r in rows) for name, rows in tree["splits"].items()},
        )

    def write(self, path: Path) -> None:
        """Write to ``path`` in one piece: a reader sees the whole file or none."""
        write_json(path, self.to_json(), indent=0)

    @classmethod
    def from_file(cls, path: Path) -> DataSplits:
        """Inverse of ``write``.

        Raises:
            DataError: If the file is damaged or of an unknown schema.
        """
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree["schema"] != SCHEMA:
                raise DataError(f"{path} has schema {tree['schema']}, this version reads {SCHEMA}. Start a new run.")
            return cls.from_json(tree)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({type(error).__name__}: {error}). Start a new run.") from None


def _record(row: Mapping[str, Any], root: Path) -> Record:
    if "mask" in row:
        target: Target = root / row["mask"]
    else:
        target = tuple(float(v) for v in row["target"]) if isinstance(row["target"], list) else row["target"]
    return Record(root / row["image"], target, row.get("group"))


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
