"""The sample data set: made by the app, kept in the cache as plain files, serves all four tasks.

::

    <cache>/sample-<version>-<count>/
      images/0000.jpg ...   96 x 96 RGB
      masks/0000.png  ...   palette; 0 background, then one value per shape
      labels.csv            file, mask, shape, count, striped, dotted, night
      classes.txt           names of the mask values

Classification tells the shape, multi-label the patterns, regression counts, segmentation finds the shapes.

Every picture is a pure function of its number. Shapes are implicit functions on a unit disc: positive inside, with a
slope near 1 at the border, so that ``clip(f * radius_px + 0.5, 0, 1)`` is an antialiased coverage.
"""

from __future__ import annotations

import colorsys
import csv
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fine_tuner.base.cache_folder import CACHE_VARIABLE, cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import making_folder
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.data.records import DataSplits, Record, Target
from fine_tuner.data.splits import split_records

NUM_PICTURES = 640
VERSION = 1  # another number whenever the pictures change
_BACKGROUND = "background"
_PALETTE = (20, 20, 28, 230, 159, 0, 0, 158, 115, 86, 180, 233, 204, 121, 167)  # Okabe-Ito


def read_sample(*, task: str, val_fraction: float, seed: int, progress: OnProgress = no_progress) -> DataSplits:
    """The sample as records for ``task``, split.

    Raises:
        DataError: If it cannot be written to the cache folder.
    """
    root = sample_folder(progress)
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    records = [Record(root / row["file"], _target(row, task, root)) for row in rows]
    names = {TargetKind.CLASS: SHAPES, TargetKind.LABELS: LABELS, TargetKind.MASK: (_BACKGROUND, *SHAPES)}.get(
        target_kind(task), ()
    )
    train, val = split_records(records, val_fraction=val_fraction, seed=seed, names=names)
    what = {
        TargetKind.CLASS: f"which of {len(SHAPES)} shapes it shows ({', '.join(SHAPES)})",
        TargetKind.LABELS: f"which of {len(LABELS)} labels fit ({', '.join(LABELS)})",
        TargetKind.NUMBERS: "how many shapes it shows",
        TargetKind.MASK: f"where its shapes are ({', '.join(SHAPES)})",
    }
    return DataSplits(
        task=task,
        classes=names,
        splits={"train": train, "val": val},
        kind=f"sample pictures made by the app; for each, {what[target_kind(task)]}",
        root=root,
        target_names=("count",) if target_kind(task) is TargetKind.NUMBERS else (),
        mask_coding=MaskCoding(tuple(range(len(SHAPES) + 1))) if target_kind(task) is TargetKind.MASK else None,
    )


def _target(row: dict[str, str], task: str, root: Path) -> Target:
    match target_kind(task):
        case TargetKind.CLASS:
            return SHAPES.index(row["shape"])
        case TargetKind.LABELS:
            return tuple(float(row[label]) for label in LABELS)
        case TargetKind.NUMBERS:
            return (float(row["count"]),)
    return root / row["mask"]


def sample_folder(progress: OnProgress = no_progress, *, count: int = NUM_PICTURES) -> Path:
    """Folder of the first ``count`` pictures; made on the first call. Several processes may ask at once.

    Raises:
        DataError: If it cannot be written to the cache folder.
    """
    folder = cache_folder() / f"sample-{VERSION}-{count}"
    if _is_whole(folder, count):
        return folder
    try:
        with making_folder(folder, is_whole=lambda made: _is_whole(made, count)) as draft:
            _write(draft, count, progress)
    except OSError as error:
        raise DataError(
            f"The sample pictures cannot be written to {folder} ({error.strerror}). Free some space there, or name "
            f"another folder in the environment variable {CACHE_VARIABLE}."
        ) from None
    return folder


def _is_whole(folder: Path, count: int) -> bool:
    """Whether no cleaner of caches has eaten a part."""
    if not (folder / "labels.csv").is_file():
        return False
    parts = (folder / "images", folder / "masks")
    return all(part.is_dir() and sum(1 for _ in os.scandir(part)) == count for part in parts)


def _write(folder: Path, count: int, progress: OnProgress) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rows = []
    for number in range(count):
        picture = draw_picture(number)
        name, mask_name = f"images/{number:04d}.jpg", f"masks/{number:04d}.png"
        Image.fromarray(picture.pixels).save(folder / name, quality=98, subsampling=0)
        mask = Image.frombytes("P", picture.mask.shape[::-1], picture.mask.tobytes())
        mask.putpalette(_PALETTE)
        mask.save(folder / mask_name, compress_level=1)
        rows.append([name, mask_name, SHAPES[picture.shape], picture.count, *map(int, picture.labels)])
        if number % 32 == 31:
            progress("Making the sample pictures", number + 1, count)
    (folder / "classes.txt").write_text("\n".join((_BACKGROUND, *SHAPES)) + "\n", encoding="utf-8")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "mask", "shape", "count", *LABELS], *rows])


SIDE_PX = 96
SHAPES = ("flower", "leaf", "moon", "star")
LABELS = ("striped", "dotted", "night")
MAX_COUNT = 5
# Each shape has a colour it likes best, but not always: other shapes have it now and then.
_HUES = (0.90, 0.36, 0.62, 0.14)
_HUE_SPREAD = 0.045
_SEED = 20_240_229
Field = np.ndarray  # (h, w) float32


@dataclass(frozen=True)
class Picture:
    """One sample picture with all that can be learned from it.

    Attributes:
        pixels: ``(SIDE_PX, SIDE_PX, 3)`` uint8.
        mask: ``(SIDE_PX, SIDE_PX)`` uint8, 0 is background, shape ``i`` is ``i + 1``.
        shape: Index in SHAPES.
        count: How many of it there are, 1 to MAX_COUNT.
        labels: Whether each of LABELS holds.
    """

    pixels: np.ndarray
    mask: np.ndarray
    shape: int
    count: int
    labels: tuple[bool, ...]


def draw_picture(number: int) -> Picture:
    """The sample picture of this number; its shape is ``number % 4``."""
    rng = np.random.default_rng([_SEED, number])
    shape = number % len(SHAPES)
    count = 1 + int(rng.random() * MAX_COUNT)
    labels = tuple(bool(rng.random() < 0.5) for _ in LABELS)
    hue = _HUES[shape] + _HUE_SPREAD * rng.normal()
    pixels = _ground(rng, is_night=labels[2])
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for x, y, radius in _places(rng, count):
        _draw(rng, pixels, mask, shape, (x, y, radius), hue, labels)
    pixels += np.float32(0.025) * rng.standard_normal((SIDE_PX, SIDE_PX, 1), np.float32)
    np.clip(pixels, 0, 1, out=pixels)
    return Picture((pixels * np.float32(255) + np.float32(0.5)).astype(np.uint8), mask, shape, count, labels)


# ------------------------------------------------------------------ ground
def _ground(rng: np.random.Generator, *, is_night: bool) -> np.ndarray:
    """A gradient with soft clouds and a faint weave, light or dark."""
    hue = rng.random()
    lightness = (0.16, 0.30) if is_night else (0.76, 0.92)
    near = _rgb(hue + rng.uniform(-0.08, 0.08), lightness[0], 0.14)
    far = _rgb(hue + rng.uniform(-0.08, 0.08), lightness[1], 0.14)
    x = np.arange(SIDE_PX, dtype=np.float32) / SIDE_PX - np.float32(0.5)
    angle, cycles, turn = rng.random() * 2 * math.pi, 2 * math.pi * rng.uniform(6, 14), rng.random() * math.pi
    ramp = math.cos(angle) * x + (math.sin(angle) * x + 0.5)[:, None]
    weave = np.sin(cycles * math.cos(turn) * x + (cycles * math.sin(turn) * x)[:, None])
    texture = 0.07 * _clouds(rng, 6) + 0.04 * _clouds(rng, 16) + 0.025 * weave
    return near + texture[..., None] + ramp[..., None] * (far - near)


def _clouds(rng: np.random.Generator, cells: int) -> Field:
    """Smooth noise in -1 to 1: random values on a grid, interpolated linearly."""
    grid = 2 * rng.random((cells + 1, cells + 1), np.float32) - 1
    at = np.linspace(0, cells, SIDE_PX, endpoint=False)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _places(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Centres and radii in px that do not overlap."""
    largest = (36, 29, 25, 22, 19)[count - 1]
    places: list[tuple[float, float, float]] = []
    while len(places) < count:
        size, right, down = rng.random(3).tolist()
        radius = largest * (0.72 + 0.28 * size)
        free = SIDE_PX - 1.8 * radius
        x, y = 0.9 * radius + free * right, 0.9 * radius + free * down
        if all((x - a) ** 2 + (y - b) ** 2 > (0.95 * (radius + c)) ** 2 for a, b, c in places):
            places.append((x, y, radius))
        elif size < 0.05:  # crowded: start again
            places.clear()
    return places


# ------------------------------------------------------------------ shapes
def _draw(
    rng: np.random.Generator,
    pixels: np.ndarray,
    mask: np.ndarray,
    shape: int,
    place: tuple[float, float, float],
    hue: float,
    labels: tuple[bool, ...],
) -> None:
    """One shape with its shadow, in place."""
    x, y, radius = place
    reach = radius + 5
    top, left = max(0, int(y - reach)), max(0, int(x - reach))
    window = (slice(top, min(SIDE_PX, int(y + reach) + 1)), slice(left, min(SIDE_PX, int(x + reach) + 1)))
    v, u = (np.arange(s.start, s.stop, dtype=np.float32) for s in window)
    u, v = np.broadcast_arrays((u - x) / radius, ((v - y) / radius)[:, None])
    turn = rng.random() * 2 * math.pi
    vary = rng.random()
    outline = _OUTLINES[shape]

    shadow = outline(*_turned(u - 0.10, v - 0.16, turn), vary)
    pixels[window] *= 1 - 0.38 * (shadow * radius / 5 + 0.5).clip(0, 1)[..., None]

    a, b = _turned(u, v, turn)
    inside = outline(a, b, vary)
    colour = _rgb(hue + rng.uniform(-0.03, 0.03), rng.uniform(0.55, 0.68), 0.75)
    light = (1 + 0.16 * (-u - v) - 0.25 * (0.25 - inside).clip(0, 0.25) / 0.25)[..., None]
    fill = colour * light * _pattern(rng, a, b, radius, labels)[..., None]
    detail = _DETAILS[shape]
    if detail is not None:
        fill = detail(a, b, radius, fill)
    coverage = (inside * radius + 0.5).clip(0, 1)
    pixels[window] = pixels[window] * (1 - coverage[..., None]) + fill * coverage[..., None]
    mask[window][coverage >= 0.5] = shape + 1


def _turned(u: Field, v: Field, angle: float) -> tuple[Field, Field]:
    c, s = math.cos(angle), math.sin(angle)
    return u * c + v * s, v * c - u * s


def _pattern(rng: np.random.Generator, a: Field, b: Field, radius: float, labels: tuple[bool, ...]) -> Field:
    """Factor on the fill: stripes, dots, both or none."""
    factor = np.ones_like(a)
    if labels[0]:
        factor -= 0.30 * (np.sin(a * radius * 1.15 + rng.random() * 6) > 0.15)
    if labels[1]:
        pitch = 5.5 / radius
        spots = (((a / pitch) % 1 - 0.5) ** 2 + ((b / pitch) % 1 - 0.5) ** 2) < 0.075
        factor += 0.38 * spots
    return factor


def _flower(a: Field, b: Field, vary: float) -> Field:
    petals = 5 + int(vary * 3)
    r, angle = np.hypot(a, b), np.arctan2(b, a)
    return 0.74 + 0.24 * np.cos(petals * angle) - r


def _leaf(a: Field, b: Field, vary: float) -> Field:
    width = 0.42 + 0.16 * vary
    blade = (width * (1 - a * a) - np.abs(b)) * 0.8
    stalk = np.minimum(0.055 - np.abs(b), np.minimum(a - 0.8, 1.05 - a))
    return np.maximum(blade, stalk)


def _moon(a: Field, b: Field, vary: float) -> Field:
    shift = 0.42 + 0.16 * vary
    return np.minimum(0.95 - np.hypot(a, b), np.hypot(a - shift, b) - 0.74)


def _star(a: Field, b: Field, vary: float) -> Field:
    """Five points: in each tenth of the turn the border is the line from an outer to an inner corner."""
    inner, sector = 0.42 + 0.08 * vary, np.float32(np.pi / 5)
    r, angle = np.hypot(a, b), np.abs((np.arctan2(b, a) + sector) % (2 * sector) - sector)
    normal_x, normal_y = inner * np.sin(sector), 1 - inner * np.cos(sector)
    along = normal_x * np.cos(angle) + normal_y * np.sin(angle)
    return (normal_x - r * along) / np.hypot(normal_x, normal_y)


def _flower_heart(a: Field, b: Field, radius: float, fill: np.ndarray) -> np.ndarray:
    heart = ((0.26 - np.hypot(a, b)) * radius + 0.5).clip(0, 1)[..., None]
    return fill * (1 - heart) + np.array([0.97, 0.80, 0.25], np.float32) * heart


def _leaf_veins(a: Field, b: Field, radius: float, fill: np.ndarray) -> np.ndarray:
    middle = (0.035 - np.abs(b)) * radius + 0.5
    sides = (0.05 - np.abs((a + 0.8 * np.abs(b)) % 0.36 - 0.18)) * radius + 0.2
    return fill * (1 - 0.22 * np.maximum(middle, sides).clip(0, 1))[..., None]


_OUTLINES: tuple[Callable[[Field, Field, float], Field], ...] = (_flower, _leaf, _moon, _star)
_DETAILS: tuple[Callable[[Field, Field, float, np.ndarray], np.ndarray] | None, ...] = (
    _flower_heart,
    _leaf_veins,
    None,
    None,
)


def _rgb(hue: float, lightness: float, saturation: float) -> np.ndarray:
    return np.array(colorsys.hls_to_rgb(hue % 1.0, lightness, saturation), np.float32)
