"""Keeps what the network says of a few validation pictures, at every validation; the files are ``runs/examples.py``'s.

Nothing goes through the network for it: the rows are taken out of the validation's own batches as they go by.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fine_tuner.base.files import replacing, strict, write_atomically, write_json
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.batches import EvalBatches
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.data.records import Record
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.metrics import overlap_of_each
from fine_tuner.runs.examples import Examples, ExampleValidation

SHOWN: Mapping[TargetKind, int] = {
    TargetKind.CLASS: 24,
    TargetKind.LABELS: 24,
    TargetKind.NUMBERS: 24,
    TargetKind.MASK: 12,
}
POINTS = 200  # of numbers: a cloud of predicted against true tells more than the pictures do
SIDE_PX = 128
_LIKELIEST = 3
_DIGITS = 4

Row = tuple[Any, Any, Tensor | None, Tensor | None]
"""Of one picture what is said and what is true, as ``runs/examples.py`` has them; masks: both, small, uint8."""


class ExamplePictures:
    """The fixed pictures of one run.

    Args:
        examples: Where they are kept.
        batches: Those of the validation, of which the run sees this rank's.
        names: Of the outputs.
        ranks: The processes of the run.
    """

    def __init__(self, examples: Examples, batches: EvalBatches, names: Sequence[str], ranks: Ranks) -> None:
        self._examples, self._dataset, self._names, self._ranks = examples, batches.dataset, list(names), ranks
        self._kind = target_kind(batches.dataset.task)
        self._watched = spread(batches.dataset.records, POINTS if self._kind is TargetKind.NUMBERS else self._most)
        self._first = batches.indices.start
        self._own = sorted(index - self._first for index in self._watched if index in batches.indices)
        self.restart()

    @property
    def _most(self) -> int:
        return SHOWN[self._kind]

    def restart(self) -> None:
        """A validation begins."""
        self._seen = 0
        self._rows: dict[int, tuple[Tensor, Tensor, float]] = {}

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """A batch, as ``evaluate`` sees it; nothing waits for the device but a mask's IoU."""
        start, self._seen = self._seen, self._seen + len(targets)
        for at in self._own[bisect_left(self._own, start) : bisect_left(self._own, self._seen)]:
            said, target, iou = logits[at - start], targets[at - start], 0.0
            if self._kind is TargetKind.MASK:
                classes = len(said)
                said = said.argmax(0)
                overlap = overlap_of_each(said[None], target[None], num_classes=classes, ignore_index=IGNORE_INDEX)
                iou = 1 - float(overlap["loss"][0])
                said, target = (small(mask) for mask in (said, target))
            self._rows[at + self._first] = (said, target, iou)

    def keep(self, validation: ExampleValidation) -> None:
        """Write what was said in the validation that has just ended; all ranks call it, the first one writes.

        Raises:
            OSError: As the file system says.
        """
        rows = {index: self._row(*row) for index, row in self._rows.items()}
        gathered: dict[int, Row] = {}
        for part in self._ranks.collect(rows):
            gathered |= part
        if self._ranks.is_first and gathered:
            self._write(validation, {index: gathered[index] for index in self._watched if index in gathered})
        self.restart()

    def _row(self, said: Tensor, target: Tensor, iou: float) -> Row:
        if self._kind is TargetKind.MASK:
            return round(iou, _DIGITS), None, said.cpu(), target.cpu()
        said, target = said.cpu(), target.cpu()
        if self._kind is TargetKind.CLASS:
            probs = said.softmax(0)
            values, classes = probs.topk(min(_LIKELIEST, len(probs)))
            top = [[k, short(p)] for k, p in zip(classes.tolist(), values.tolist(), strict=True)]
            return {"top": top, "true": short(float(probs[target]))}, int(target), None, None
        if self._kind is TargetKind.LABELS:
            probs, has = said.sigmoid(), target >= 0.5
            shown = (has | (probs >= 0.5)).nonzero().flatten().tolist()
            return [[k, short(float(probs[k]))] for k in shown], has.nonzero().flatten().tolist(), None, None
        return [short(v) for v in said.tolist()], [short(v) for v in target.tolist()], None, None

    def _write(self, validation: ExampleValidation, rows: Mapping[int, Row]) -> None:
        """What was said, after what is shown; so that whoever finds the one finds the other."""
        order = list(rows)
        shown = [order[at * len(order) // self._most] for at in range(self._most)] if len(order) > self._most else order
        if self._examples.read() is None:
            self._write_about(shown, rows)
        said: dict[str, Any] = {"said": [rows[index][0] for index in shown]}
        if self._kind is TargetKind.NUMBERS:
            said["points"] = [rows[index][0] for index in order]
        if self._kind is TargetKind.MASK:
            save_picture(side_by_side([rows[index][2] for index in shown]), self._examples.said_masks(validation))
        text = json.dumps(strict(said), allow_nan=False, separators=(",", ":"))
        write_atomically(self._examples.said(validation), text, is_durable=False)
        self._examples.thin_out()

    def _write_about(self, shown: Sequence[int], rows: Mapping[int, Row]) -> None:
        pictures = []
        for index in shown:
            pixels = self._dataset.transform.denormalise(self._dataset[index][0])
            picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
            pictures.append(np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)))
        self._examples.path.mkdir(parents=True, exist_ok=True)
        save_picture(side_by_side(pictures), self._examples.pictures)
        if self._kind is TargetKind.MASK:
            save_picture(side_by_side([rows[index][3] for index in shown]), self._examples.true_masks)
        records = self._dataset.records
        about = {
            "kind": self._kind.value,
            "names": self._names,
            "side": SIDE_PX,
            "pictures": [{"file": str(records[index].image), "true": rows[index][1]} for index in shown],
        }
        if self._kind is TargetKind.NUMBERS:
            order = list(rows)
            about |= {"points": [rows[index][1] for index in order], "shown": [order.index(index) for index in shown]}
        write_json(self._examples.about, strict(about), is_durable=False)


def spread(records: Sequence[Record], count: int) -> list[int]:
    """At most ``count`` indices, evenly over the images as they are labelled: by class, by the first number, by name.

    >>> from pathlib import Path
    >>> spread([Record(image=Path("a"), target=k % 2) for k in range(6)], 3)
    [0, 4, 3]
    """
    order = sorted(range(len(records)), key=lambda index: records[index].target)
    return [order[at * len(order) // count] for at in range(count)] if len(order) > count else order


def small(mask: Tensor) -> Tensor:
    """A square of classes ``(H, W)`` with at most ``SIDE_PX`` pixels a side, the nearest of each; uint8."""
    side = len(mask)
    if side != SIDE_PX:
        at = (torch.arange(SIDE_PX, device=mask.device) + 0.5) * side / SIDE_PX
        mask = mask[at.long()][:, at.long()]
    return mask.byte()


def side_by_side(pictures: Sequence[Any]) -> Image.Image:
    """Squares ``(S, S)`` or ``(S, S, 3)`` uint8 in one row."""
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], axis=1))


def save_picture(picture: Image.Image, path: Any) -> None:
    """As the name of the file says; whole or not at all.

    Raises:
        OSError: As the file system says.
    """
    form = "JPEG" if path.suffix == ".jpg" else "PNG"
    with replacing(path, is_durable=False) as temporary:
        picture.save(temporary, form, **({"quality": 85} if form == "JPEG" else {"compress_level": 6}))


def short(value: float) -> float:
    """With the digits that are shown: probabilities to a ten-thousandth, numbers to five places."""
    return float(f"{value:.5g}")
