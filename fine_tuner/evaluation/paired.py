"""Whether one run is better than another, on the same images: McNemar's test, or the bootstrap of paired differences.

No torch and no scipy: the page's process asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fine_tuner.config.tasks import TargetKind
from fine_tuner.evaluation.predictions import LOSS_NAMES, Predictions
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.results import results_of

ALPHA = 0.05
_DRAWS = 2000
_MOST_DRAWN = 20_000_000
_SHOWN = 24


def mcnemar(only_one: int, only_other: int) -> float:
    """Two-sided exact p of McNemar's test: how likely so uneven a split is where both are equally good; 1 for none.

    Args:
        only_one: Images that one alone gets right.
        only_other: Images that the other alone gets right.

    Source: McNemar 1947, in its exact form: a binomial test of one half.
    """
    count, least = only_one + only_other, min(only_one, only_other)
    if not count:
        return 1.0
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(least + 1)]
    tail = sum(math.exp(value - count * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def paired_bootstrap(differences: NDArray[Any], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences ``(N,)`` and its 95 % interval, the percentiles of means drawn with replacement."""
    count = len(differences)
    generator = np.random.default_rng(seed)
    draws = int(np.clip(_MOST_DRAWN // max(count, 1), 100, _DRAWS))
    means = [differences[generator.integers(0, count, count)].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def compare_pair(one: RunFolder, other: RunFolder, names: tuple[str, str] = ("A", "B")) -> dict[str, Any]:
    """What two runs say of the same validation images, by their best weights.

    Returns:
        ``images`` that both were evaluated on; ``sentence``; ``is_told``: whether the difference is more than chance;
        for classes ``only_one``, ``only_other``, ``p`` and the first ``pictures`` on which they differ: the ``index``
        in each, the ``true`` class, what each ``said``, and the place ``right`` (0 or 1) of the run that is; for others
        ``difference`` of the losses (other minus one) with its interval. Without common images, or before both are
        evaluated, only a ``sentence`` that says so.
    """
    figures = [results_of(run, "val-best").read() for run in (one, other)]
    if not all(figures):
        return {
            "images": 0,
            "sentence": "They are compared on the same images once each has results.",
        }
    first, second = (Predictions(results_of(run, "val-best").predictions) for run in (one, other))
    kind = TargetKind(figures[0]["target"])
    places = {first.name(i): i for i in range(len(first))}
    pairs = [(places[name], j) for j in range(len(second)) if (name := second.name(j)) in places]
    if not pairs or figures[0]["target"] != figures[1]["target"]:
        return {
            "images": 0,
            "sentence": "They have no validation images in common to be compared on.",
        }
    at, there = (np.array(side) for side in zip(*pairs, strict=True))
    if kind is TargetKind.CLASS:
        return _of_classes(first, second, at, there, names, figures[0]["names"])
    mean, low, high = paired_bootstrap(second["loss"][there].astype(np.float64) - first["loss"][at].astype(np.float64))
    is_told = low > 0 or high < 0
    better = names[1] if mean < 0 else names[0]
    worse = names[0] if better == names[1] else names[1]
    verdict = f"{better} is better" if is_told else "not enough to tell"
    sentence = (
        f"On {len(pairs):,} images the {LOSS_NAMES[kind].split(',')[0]} of {better} is {abs(mean):.3g} less than that "
        f"of {worse} (95 % from {_signed(low, high, mean)}): {verdict}."
    )
    return {"images": len(pairs), "sentence": sentence, "is_told": is_told, "difference": [mean, low, high]}


def _signed(low: float, high: float, mean: float) -> str:
    ends = sorted((-low, -high)) if mean < 0 else sorted((low, high))
    return f"{ends[0]:.3g} to {ends[1]:.3g}"


def _of_classes(
    first: Predictions,
    second: Predictions,
    at: NDArray[Any],
    there: NDArray[Any],
    names: tuple[str, str],
    classes: Sequence[str],
) -> dict[str, Any]:
    one = (first["predictions"] == first["targets"])[at]
    other = (second["predictions"] == second["targets"])[there]
    only_one, only_other = one & ~other, other & ~one
    counts = int(only_one.sum()), int(only_other.sum())
    p = mcnemar(*counts)
    better = names[1] if counts[1] > counts[0] else names[0]
    verdict = f"{better} is better" if p < ALPHA else "not enough to tell"
    sentence = (
        f"On {len(at):,} images {names[1]} is right on {counts[1]:,} where {names[0]} is wrong, {names[0]} on "
        f"{counts[0]:,} where {names[1]} is wrong: {verdict}, p = {p:.2g}."
    )
    chosen = [*np.flatnonzero(only_other)[:_SHOWN], *np.flatnonzero(only_one)[:_SHOWN]]
    return {
        "images": len(at), "sentence": sentence, "is_told": p < ALPHA, "only_one": counts[0], "only_other": counts[1],
        "p": p,
        "pictures": [
            {
                "right": 0 if only_one[i] else 1,
                "index": [int(at[i]), int(there[i])],
                "true": classes[first["targets"][at[i]]],
                "said": [classes[first["predictions"][at[i]]], classes[second["predictions"][there[i]]]],
            }
            for i in chosen
        ],
    }  # fmt: skip
