"""How sure a figure is: Wilson's interval for shares, the bootstrap for everything else. 95 % each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

LEVEL = 0.95
WILSON, BOOTSTRAP = "Wilson", "bootstrap"
_Z = float(ndtri(0.5 + LEVEL / 2))
_DRAWS = 1000
_MOST_DRAWN = 20_000_000  # numbers over all draws: about a second
_FEWEST_DRAWS = 100


def wilson(hits: ArrayLike, counts: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lower and upper end for shares ``hits / counts``; NaN where the count is 0.

    Source: Wilson 1927, https://doi.org/10.2307/2276774; Brown, Cai and DasGupta 2001, section 3.1.1.

    >>> low, high = wilson([0, 5], [5, 5])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.566], [0.434, 1.0])
    """
    k, n = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, z2 = k / n, _Z**2
        centre = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return np.where(k == 0, 0.0, centre - half) + 0 * share, np.where(k == n, 1.0, centre + half) + 0 * share


def bootstrap(
    figure: Callable[[NDArray[np.int64]], NDArray[Any]], count: int, *, width: int = 1, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lower and upper end of figures over images drawn anew with replacement, by their percentiles.

    Args:
        figure: From indices of ``count`` images to one or more figures, NaN where one is not defined.
        count: Images.
        width: Numbers of each that are looked at: with many, there are fewer draws, 100 at least.
        seed: Of the draws: the same images have the same interval.

    Returns:
        Ends of the shape of a figure; NaN where less than half of the draws have a value.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    generator = np.random.default_rng(seed)
    draws = int(np.clip(_MOST_DRAWN // max(count * width, 1), _FEWEST_DRAWS, _DRAWS))
    drawn = (generator.integers(0, count, count) for _ in range(draws if count else 1))
    found = np.array([figure(indices) for indices in drawn], np.float64)
    tail = (1 - LEVEL) / 2
    is_known = np.isfinite(found).mean(0) >= 0.5
    found = np.where(is_known, found, 0.0)  # else numpy warns of columns of NaN
    low, high = np.nanquantile(found, [tail, 1 - tail], axis=0)
    return np.where(is_known, low, np.nan), np.where(is_known, high, np.nan)


def triple(value: float, low: float, high: float) -> list[float | None]:
    """Value and interval as JSON has them; None for what is not defined."""
    return [float(part) if np.isfinite(part) else None for part in (value, low, high)]


def triples(values: ArrayLike, ends: tuple[ArrayLike, ArrayLike]) -> list[list[float | None]]:
    """As ``triple`` for each of several."""
    low, high = ends
    return [triple(*row) for row in zip(np.asarray(values), np.asarray(low), np.asarray(high), strict=True)]


def column(key: str, label: str, kind: str = "number", interval: str = "") -> dict[str, Any]:
    """One column of a table: the key of its rows, its title, how it is printed (``name`` is text), its interval."""
    return {"key": key, "label": label, "kind": kind, "interval": f"{interval}, 95 %" if interval else ""}


NAME, IMAGES = column("name", "Name", "name"), column("images", "Images")
CLASS_COLUMNS = (  # of classes, and of labels
    NAME,
    IMAGES,
    column("precision", "Precision", "fraction", WILSON),
    column("recall", "Recall", "fraction", WILSON),
    column("f1", "F1", "fraction", BOOTSTRAP),
)


def headline(key: str, label: str, value: list[float | None], kind: str, interval: str) -> dict[str, Any]:
    """One figure of the top line: how it is printed (``fraction`` or ``number``), and what its interval is."""
    return {"key": key, "label": label, "value": value, "kind": kind, "interval": f"{interval}, 95 %"}
