"""The formula of each loss in float64 NumPy, written with loops from the papers: what the torch code must equal.

``FORMULAS[tag](settings, task, logits, targets)`` gives the loss; 255 is ignored in masks. ``weights`` are those of
balanced classes, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fine_tuner.config.tasks import TargetKind, target_kind

IGNORE = 255
Array = np.ndarray


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def positions(logits: Array, targets: Array) -> Iterator[tuple[int, Array, int]]:
    """Image number, probabilities (K,) and class of every position that counts."""
    probs = softmax(logits).reshape(*logits.shape[:2], -1)
    classes = targets.reshape(len(targets), -1)
    for b in range(len(targets)):
        for i in range(classes.shape[1]):
            if classes[b, i] != IGNORE:
                yield b, probs[b, :, i], int(classes[b, i])


def regions(settings: Any, task: str, logits: Array, targets: Array) -> Iterator[tuple[Array, Array]]:
    """Probabilities and truth (P,) of each region that is scored."""
    if target_kind(task) is TargetKind.LABELS:
        for k in range(logits.shape[1]):
            p, t = sigmoid(logits)[:, k], targets[:, k]
            if t.any() or settings.include_absent:
                yield p, t
        return
    found = list(positions(logits, targets))
    is_mask = target_kind(task) is TargetKind.MASK
    images = [{b} for b in range(len(targets))] if is_mask and settings.per == "image" else [set(range(len(targets)))]
    first = 1 if is_mask and not settings.include_background else 0
    for group in images:
        for k in range(first, logits.shape[1]):
            p = np.array([probs[k] for b, probs, _ in found if b in group])
            t = np.array([float(c == k) for b, _, c in found if b in group])
            if t.any() or settings.include_absent:
                yield p, t


def mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def cross_entropy(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    """With smoothing e: the target is (1 - e) one-hot + e / K; the whole counts as much as the true class."""
    total = count = 0.0
    for _, p, c in positions(logits, targets):
        w = 1.0 if weights is None else weights[c]
        smoothed = np.full(len(p), s.label_smoothing / len(p))
        smoothed[c] += 1 - s.label_smoothing
        total += -w * (smoothed * np.log(p)).sum()
        count += w
    return total / count


def binary_cross_entropy(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    p = sigmoid(logits)
    return float(np.mean(-(s.positive_weight * targets * np.log(p) + (1 - targets) * np.log(1 - p))))


def mse(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    if target_kind(task) is TargetKind.NUMBERS:
        return float(np.mean((logits - targets) ** 2))
    if target_kind(task) is TargetKind.LABELS:
        return float(np.mean((sigmoid(logits) - targets) ** 2))
    return mean([float(np.mean((p - np.eye(len(p))[c]) ** 2)) for _, p, c in positions(logits, targets)])


def l1(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    return float(np.mean(abs(logits - targets)))


def smooth_l1(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    e = abs(logits - targets)
    return float(np.mean(np.where(e < s.beta, e**2 / (2 * s.beta), e - s.beta / 2)))


def huber(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    e = abs(logits - targets)
    return float(np.mean(np.where(e < s.delta, e**2 / 2, s.delta * (e - s.delta / 2))))


def focal(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    if target_kind(task) is TargetKind.LABELS:
        p = sigmoid(logits)
        p_t = np.where(targets == 1, p, 1 - p)
        alpha = 1.0 if s.alpha is None else np.where(targets == 1, s.alpha, 1 - s.alpha)
        return float(np.mean(-alpha * (1 - p_t) ** s.gamma * np.log(p_t)))
    total = count = 0.0
    for _, p, c in positions(logits, targets):
        w = 1.0 if weights is None else weights[c]
        total += -w * (1 - p[c]) ** s.gamma * np.log(p[c])
        count += w
    return total / count


def dice(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    power = 2 if s.denominator == "squared" else 1
    return mean([
        p.max()
        if t.sum() == s.smooth == 0  # absent, but counted
        else 1 - (2 * (p * t).sum() + s.smooth) / ((p**power).sum() + (t**power).sum() + s.smooth)
        for p, t in regions(s, task, logits, targets)
    ])  # fmt: skip


def dice_cross_entropy(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    return cross_entropy(s, task, logits, targets, weights) + s.dice_weight * dice(s, task, logits, targets)


def tversky(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    losses = []
    for p, t in regions(s, task, logits, targets):
        tp, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
        is_largest = t.sum() == s.smooth == 0  # absent, but counted
        quotient = (tp + s.smooth) / (tp + s.alpha * fp + s.beta * fn + s.smooth)
        losses.append(p.max() if is_largest else 1 - quotient)
    return mean(losses)


def jaccard(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    losses = []
    for p, t in regions(s, task, logits, targets):
        overlap = (p * t).sum()
        quotient = (overlap + s.smooth) / (p.sum() + t.sum() - overlap + s.smooth)
        losses.append(p.max() if t.sum() == s.smooth == 0 else 1 - quotient)
    return mean(losses)


def lovasz(s: Any, task: str, logits: Array, targets: Array, weights: Array | None = None) -> float:
    """Algorithm 1 of the paper: sorted errors times the differences of the Jaccard loss of the first i errors."""
    losses = []
    for p, t in regions(s, task, logits, targets):
        order = np.argsort(-abs(t - p), kind="stable")
        errors, truth = abs(t - p)[order], t[order]
        value, before = 0.0, 0.0
        for i in range(len(errors)):
            wrong = truth[: i + 1]
            jaccard_loss = 1 - (truth.sum() - wrong.sum()) / (truth.sum() + (1 - wrong).sum())
            value += errors[i] * (jaccard_loss - before)
            before = jaccard_loss
        losses.append(value)
    return mean(losses)


FORMULAS: dict[str, Callable[..., float]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
    "l1": l1,
    "smooth_l1": smooth_l1,
    "huber": huber,
    "focal": focal,
    "dice": dice,
    "dice_cross_entropy": dice_cross_entropy,
    "tversky": tversky,
    "jaccard": jaccard,
    "lovasz": lovasz,
}
