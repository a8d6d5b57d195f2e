"""A few validation pictures of a run, always the same, with what it said of them at each validation.

::

    examples/
      about.json                       what is shown, what is true: see below; written last at the first validation
      pictures.jpg                     the pictures side by side, as the network sees them, squares of ``side`` pixels
      true.png                         masks: the true class of each pixel, in the same places
      epoch-0003-step-00000048.json    what the run said of each at that validation
      epoch-0003-step-00000048.png     masks: the class that it said

``about.json`` holds ``kind`` (of the targets), ``names`` (of the outputs), ``side`` (pixels) and ``pictures``, each
``{"file", "true"}``; ``true`` is the number of the class, the numbers of the labels, the numbers, or null for masks. Of
numbers more images are asked than are shown: ``points`` are the true numbers of all, and ``shown`` where among them the
pictures are. A validation holds ``said``, for each picture

=======  ==============================================================================================
kind     ``said``
=======  ==============================================================================================
class    ``{"top": [[class, probability], ...], "true": probability of the true class}``, the likeliest first
labels   ``[[label, probability], ...]`` of those that are true or reach one half
numbers  the numbers
mask     mean IoU over the classes that are there or predicted, of all pixels
=======  ==============================================================================================

and, for numbers, ``points``: those of all. Of a long run as many validations stay as fit ``MOST_VALIDATIONS``, evenly
over its epochs, and the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tuner.base.files import read_json
from fine_tuner.runs.layout import RunFolder

MOST_VALIDATIONS = 100
_NAME = re.compile(r"epoch-(\d{4,9})-step-(\d{8,12})")


@dataclass(frozen=True, slots=True, order=True)
class ExampleValidation:
    """When a validation was."""

    step: int
    epoch: int

    @property
    def name(self) -> str:
        """Of its files, without their endings."""
        return f"epoch-{self.epoch:04d}-step-{self.step:08d}"


@dataclass(frozen=True, slots=True)
class Examples:
    """Paths of a run's examples."""

    path: Path

    @classmethod
    def of(cls, run: RunFolder) -> Examples:
        """Those of ``run``, kept or not."""
        return cls(run.path / "examples")

    @property
    def about(self) -> Path:
        """about.json."""
        return self.path / "about.json"

    @property
    def pictures(self) -> Path:
        """pictures.jpg."""
        return self.path / "pictures.jpg"

    @property
    def true_masks(self) -> Path:
        """true.png."""
        return self.path / "true.png"

    def said(self, validation: ExampleValidation) -> Path:
        """What was said at a validation."""
        return self.path / f"{validation.name}.json"

    def said_masks(self, validation: ExampleValidation) -> Path:
        """The masks that were said."""
        return self.path / f"{validation.name}.png"

    def read(self) -> dict[str, Any] | None:
        """about.json; None while there are none."""
        return read_json(self.about)

    def validations(self) -> list[ExampleValidation]:
        """All that are kept, the first one first."""
        found = (_NAME.fullmatch(path.stem) for path in self.path.glob("epoch-*.json"))
        return sorted(ExampleValidation(step=int(one[2]), epoch=int(one[1])) for one in found if one)

    def find(self, name: str) -> ExampleValidation | None:
        """The validation of this name, if it is kept."""
        return next((one for one in self.validations() if one.name == name), None)

    def thin_out(self) -> None:
        """Of a long run keep every second, fourth, ... epoch, and the newest.

        Raises:
            OSError: As the file system says.
        """
        *older, newest = self.validations()
        apart = 1
        while newest.epoch // apart >= MOST_VALIDATIONS:
            apart *= 2
        for one in older:
            if one.epoch % apart:
                self.said(one).unlink(missing_ok=True)
                self.said_masks(one).unlink(missing_ok=True)
