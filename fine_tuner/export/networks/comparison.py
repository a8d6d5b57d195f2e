"""An exported network beside the one in PyTorch, picture by picture: how far apart, how fast, how large."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from fine_tuner.base.errors import RunError
from fine_tuner.export.networks.network import Pictures, RunNetwork, decision
from fine_tuner.tasks import TASKS

Answer = Callable[[np.ndarray], np.ndarray]
"""The exported network: a batch as it takes it to logits."""

CHECKED_PICTURES = 64
# Largest difference of the logits, as a share of the largest logit: orders of summation differ, formulas do not.
TOLERANCE = 1e-3
_BATCH = 3


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found.

    Attributes:
        pictures: On what.
        largest_difference: Of the logits.
        largest_logit: To compare it with.
        agreement_percent: Pictures (pixels, labels) with the same decision; None for numbers.
        pytorch_ms, exported_ms: Median time of a picture on this processor, one at a time.
        pytorch_mib, exported_mib: Size of the weights' file and of the exported one.
        metrics_before, metrics_after: Of the pictures, where accuracy may change.
    """

    pictures: str
    largest_difference: float
    largest_logit: float
    agreement_percent: float | None
    pytorch_ms: float
    exported_ms: float
    pytorch_mib: float
    exported_mib: float
    metrics_before: dict[str, float] | None = None
    metrics_after: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def lines(self) -> list[str]:
        """For a terminal."""
        out = [
            f"Checked on {self.pictures}: the logits differ by {self.largest_difference:.2g} at most (the largest is "
            f"{self.largest_logit:.3g})"
            + (
                f", {self.agreement_percent:.4g} % of the answers agree." if self.agreement_percent is not None else "."
            ),
            f"One picture takes {self.exported_ms:.1f} ms (PyTorch {self.pytorch_ms:.1f} ms); "
            f"{self.exported_mib:.1f} MiB (weights {self.pytorch_mib:.1f} MiB).",
        ]
        if self.metrics_before and self.metrics_after:
            pairs = (f"{n} {v:.4g} -> {self.metrics_after[n]:.4g}" for n, v in self.metrics_before.items())
            out.append(f"Before and after: {', '.join(pairs)}.")
        return out


def compare(
    network: RunNetwork, answer: Answer, file: Path, *, may_differ: bool = False, takes_batches: bool = True
) -> Comparison:
    """Ask both about the same pictures.

    Args:
        network: In PyTorch.
        answer: Exported.
        file: The exported file or folder.
        may_differ: It was made smaller by rounding, so differences are told, not refused.
        takes_batches: It was made for any number of pictures at once.

    Raises:
        RunError: If it answers differently, or a batch otherwise than its pictures one by one.
    """
    pictures = network.pictures("val", CHECKED_PICTURES)
    ours, theirs, our_seconds, their_seconds = [], [], [], []
    with torch.inference_mode():
        network.module(pictures.inputs[0]), answer(pictures.inputs[0].numpy())  # warm
        for picture in pictures.inputs:
            began = time.perf_counter()
            ours.append(network.module(picture))
            between = time.perf_counter()
            theirs.append(torch.from_numpy(np.array(answer(picture.numpy()))))
            our_seconds.append(between - began)
            their_seconds.append(time.perf_counter() - between)
    found = Comparison(
        pictures=pictures.words,
        largest_difference=max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True)),
        largest_logit=max(a.abs().max().item() for a in ours),
        agreement_percent=_agreement(network, ours, theirs),
        pytorch_ms=1e3 * median(our_seconds),
        exported_ms=1e3 * median(their_seconds),
        pytorch_mib=size_mib(network.run.best_weights),
        exported_mib=size_mib(file),
        metrics_before=_metrics(network, ours, pictures) if may_differ else None,
        metrics_after=_metrics(network, theirs, pictures) if may_differ else None,
    )
    if not may_differ:
        _refuse_difference(network, found)
    if takes_batches and not may_differ:
        _refuse_batches(answer, pictures, theirs)
    return found


def size_mib(path: Path) -> float:
    """Of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def _agreement(network: RunNetwork, ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float | None:
    same = []
    for a, b in zip(ours, theirs, strict=True):
        left, right = decision(a, network.kind), decision(b, network.kind)
        if left is None or right is None:
            return None
        same.append((left == right).float().mean().item())
    return 100 * sum(same) / len(same)


def _metrics(network: RunNetwork, logits: Sequence[torch.Tensor], pictures: Pictures) -> dict[str, float] | None:
    if not pictures.targets:
        return None
    metrics = TASKS[network.built.task].build_metrics(network.built.num_outputs)
    metrics.update(torch.cat(list(logits)), torch.cat(pictures.targets))
    return {name: float(value) for name, value in metrics.compute().items()}


def _refuse_difference(network: RunNetwork, found: Comparison) -> None:
    if not found.largest_difference <= TOLERANCE * max(1.0, found.largest_logit):  # NaN is refused too
        raise RunError(
            f"The exported {network.built.name} answers otherwise than PyTorch: its logits differ by "
            f"{found.largest_difference:.3g}, where the largest is {found.largest_logit:.3g}. Nothing was written; "
            "choose another format."
        )


def _refuse_batches(answer: Answer, pictures: Pictures, theirs: Sequence[torch.Tensor]) -> None:
    few = pictures.inputs[:_BATCH]
    together = torch.from_numpy(np.array(answer(torch.cat(few).numpy())))
    alone = torch.cat(list(theirs[: len(few)]))
    if together.shape != alone.shape or not (together - alone).abs().max() <= TOLERANCE * max(1.0, alone.abs().max()):
        raise RunError(
            "The exported network answers several pictures at once otherwise than one by one. Nothing was written; "
            "choose another format."
        )
