"""One pass over a split: the run's own metrics, and beside them a row for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fine_tuner.base.errors import OutOfMemoryError
from fine_tuner.config.tasks import TargetKind
from fine_tuner.data.loading.batches import EvalBatches
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.distributed.device_memory import free_memory
from fine_tuner.metrics import overlap_of_each
from fine_tuner.models.build import BuiltModel
from fine_tuner.runs.results import Results
from fine_tuner.tasks.build import Assembly
from fine_tuner.training.loop.micro_batches import MicroBatches, until_it_fits
from fine_tuner.training.loop.validation import evaluate


class RowCollector:
    """Collects the columns of ``predictions.py`` while batches go by.

    Args:
        kind: What an image is labelled with.
        draft: Where masks are written.
        on_progress: Told how many images are done.
    """

    def __init__(
        self, kind: TargetKind, draft: Results, *, on_progress: Callable[[int], object] = lambda done: None
    ) -> None:
        self._kind, self._draft, self._on_progress = kind, draft, on_progress
        self._parts: dict[str, list[Tensor]] = {}
        self._features: list[Tensor] = []
        self._count = 0

    def restart(self) -> None:
        """Forget all rows: the pass begins anew."""
        self._parts, self._features, self._count = {}, [], 0

    def take_features(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        """Before the output layer runs: what it is given, ``(B, F)`` or a map of it; see ``watching``."""
        features = given[0].float()
        if features.ndim > 2:
            features = features.flatten(2).mean(2)
        most = torch.finfo(torch.float16).max  # beyond it a network is told as far away, not as infinitely far
        self._features.append(features.nan_to_num(0.0).clamp(-most, most).half().cpu())

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """A batch, as ``evaluate`` sees it."""
        make = {
            TargetKind.CLASS: _class_columns,
            TargetKind.LABELS: _label_columns,
            TargetKind.NUMBERS: _number_columns,
            TargetKind.MASK: self._mask_columns,
        }[self._kind]
        for name, column in make(logits, targets).items():
            self._parts.setdefault(name, []).append(column.cpu())
        self._count += len(targets)
        self._on_progress(self._count)

    def columns(self) -> dict[str, NDArray[Any]]:
        """All rows."""
        columns = {name: torch.cat(parts).numpy() for name, parts in self._parts.items()}
        features = torch.cat(self._features) if self._features else torch.zeros(0, 0)
        if len(features) != self._count:  # a compiled network runs past its hooks
            features = torch.zeros(self._count, 0, dtype=torch.float16)
        return columns | {"features": features.numpy()}

    def _mask_columns(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        said = logits.argmax(1)
        self._draft.masks.mkdir(parents=True, exist_ok=True)
        for row, (one, true) in enumerate(zip(said.byte().cpu().numpy(), targets.byte().cpu().numpy(), strict=True)):
            index = self._count + row
            _save(np.where(true == IGNORE_INDEX, true, one), self._draft.mask(index))
            _save(true, self._draft.mask(index, is_true=True))
        return overlap_of_each(said, targets, num_classes=logits.shape[1], ignore_index=IGNORE_INDEX)


def _save(mask: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(mask).save(path, compress_level=1)


def _class_columns(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {
        "loss": F.cross_entropy(logits, targets, reduction="none"),
        "logits": logits,
        "targets": targets,
        "predictions": logits.argmax(1),
        "confidence": logits.softmax(1).amax(1),
    }


def _label_columns(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    return {"loss": loss, "logits": logits, "targets": (targets >= 0.5).byte()}


def _number_columns(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {"loss": (logits - targets).abs().mean(1), "logits": logits, "targets": targets.double()}


@contextmanager
def watching(built: BuiltModel, rows: RowCollector) -> Iterator[None]:
    """Have ``rows`` see what the output layer is given; for a network with auxiliary heads the main one's."""
    layer = built.model.get_submodule(built.head[-1] if len(built.head) == 1 else _main_head(built))
    handle = layer.register_forward_pre_hook(rows.take_features)
    try:
        yield
    finally:
        handle.remove()


def _main_head(built: BuiltModel) -> str:
    return next((path for path in built.head if "aux" not in path.lower()), built.head[0])


def pass_over(
    assembly: Assembly,
    batches: EvalBatches,
    rows: RowCollector,
    micro_batches: MicroBatches,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Metrics as the run computes them, in smaller batches if memory runs out; ``rows`` sees each image once.

    Returns:
        As ``evaluate``: None if ``should_stop`` became true on the way.

    Raises:
        OutOfMemoryError: If memory does not suffice for a single image.
    """
    stopped = False

    def compute() -> dict[str, float] | None:
        nonlocal stopped
        rows.restart()
        found = evaluate(
            assembly.model, batches, loss_fn=assembly.loss_fn, metrics=assembly.metrics,
            precision=assembly.precision, micro_batches=micro_batches, should_stop=should_stop, on_batch=rows.add,
        )  # fmt: skip
        stopped = found is None
        return {} if found is None else found

    def shrink() -> None:
        free_memory(assembly.device)
        micro_batches.evaluation = micro_batches.halved("evaluation")
        if micro_batches.evaluation is None:
            raise OutOfMemoryError("Memory does not suffice for a single image. Close what else uses the device.")

    with watching(assembly.built, rows):
        metrics = until_it_fits(compute, shrink)
    return None if stopped else metrics
