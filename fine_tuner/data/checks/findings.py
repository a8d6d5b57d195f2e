"""What a check of the data reports: findings with examples and remedies, and the figures beside them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fine_tuner.data.notices import Level, Remedy

NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Example:
    """One instance of a finding.

    Attributes:
        text: What and where.
        files: One or two image files to show as thumbnails.
    """

    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataFinding:
    """One kind of thing that is wrong or worth knowing.

    Attributes:
        code: For programs.
        level: ``error`` keeps a run from starting; ``warning`` spoils its result; ``note`` is good to know.
        text: What is wrong and how often, for a person.
        count: How many.
        examples: Up to three.
        remedies: Safe ones; empty where only the user can decide.
    """

    code: str
    level: Level
    text: str
    count: int
    examples: tuple[Example, ...] = ()
    remedies: tuple[Remedy, ...] = ()


def lines_of(notices: Sequence[str], findings: Sequence[DataFinding]) -> list[str]:
    """Notices and findings for a terminal."""
    lines = [f"note: {notice}" for notice in notices]
    for finding in findings:
        lines.append(f"{finding.level}: {finding.text}")
        lines += [f"  {example.text}" for example in finding.examples]
        lines += [f"  to {remedy}" for remedy in finding.remedies]
    return lines


def can_train(findings: Sequence[DataFinding]) -> bool:
    """Whether a run on data with these findings would start."""
    return not any(finding.level == "error" for finding in findings)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the data is and what is wrong with it.

    Attributes:
        path: As named by the user.
        task: What it was read for.
        likely_task: What it seems to be made for; None if that could not be told.
        kind: What was recognised, in words; empty if nothing was.
        notices: What was decided or left out.
        splits: Split to number of images.
        classes: For each class or label: ``name`` and a count by split; pixels of train for segmentation.
        numbers: For each number of a regression: ``name``, ``min``, ``mean``, ``max``, ``sd`` over train.
        sizes: ``width`` and ``height``: ``min``, ``median``, ``max`` in px; ``common``: the most frequent sizes.
        formats: File format and pixel mode to number of images.
        findings: Errors first.
        seconds: How long the check took.
    """

    path: str
    task: str
    likely_task: str | None
    kind: str
    notices: tuple[str, ...] = ()
    splits: Mapping[str, int]
    classes: tuple[Mapping[str, Any], ...] = ()
    numbers: tuple[Mapping[str, Any], ...] = ()
    sizes: Mapping[str, Any]
    formats: Mapping[str, int]
    findings: tuple[DataFinding, ...]
    seconds: float

    @property
    def can_train(self) -> bool:
        """Whether a run on this data would start."""
        return can_train(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"can_train": self.can_train}

    def __str__(self) -> str:
        """Some lines for a terminal."""
        lines = [self.kind or "nothing was recognised"]
        if self.splits:
            lines.append(", ".join(f"{count:,} {split}" for split, count in self.splits.items()))
        for row in self.classes[:12]:
            counts = ", ".join(f"{value:,} {key}" for key, value in row.items() if key != "name")
            lines.append(f"  {row['name']}: {counts}")
        if len(self.classes) > 12:
            lines.append(f"  and {len(self.classes) - 12} more classes")
        for row in self.numbers:
            lines.append("  {name}: {min:g} to {max:g}, mean {mean:.4g}, sd {sd:.4g}".format_map(row))
        lines += lines_of(self.notices, self.findings)
        if not self.findings:
            lines.append("nothing wrong was found")
        return "\n".join(lines)
