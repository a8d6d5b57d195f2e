"""Pictures that the shipped source network learned on: dozens of kinds of shapes and textures, drawn by formulas.

None of them is a flower, a leaf, a moon or a star: those are the sample's classes, which the network has to meet for
the first time when it is fine-tuned. Nothing here is used by the program itself; ``pretrain_source.py`` draws with it.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Mapping

import numpy as np

SIDE_PX = 72
Field = np.ndarray  # (h, w) float32
Random = np.random.Generator


# ------------------------------------------------------------------- shapes
# Each is positive inside, with a, b in about -1 to 1 and v in 0 to 1 varying its proportions.
def _polygon(corners: int) -> Callable[[Field, Field, float], Field]:
    def outline(a: Field, b: Field, v: float) -> Field:
        sector = math.pi / corners
        angle = (np.arctan2(b, a) + sector) % (2 * sector) - sector
        return 0.9 * math.cos(sector) - np.hypot(a, b) * np.cos(angle)

    return outline


def _box(a: Field, b: Field, half_width: float, half_height: float, x: float = 0.0, y: float = 0.0) -> Field:
    return np.minimum(half_width - np.abs(a - x), half_height - np.abs(b - y))


def _disc(a: Field, b: Field, radius: float, x: float = 0.0, y: float = 0.0) -> Field:
    return radius - np.hypot(a - x, b - y)


def _any(*parts: Field) -> Field:
    return np.maximum.reduce(parts)


def _band(distance: Field, half_width: float) -> Field:
    return half_width - np.abs(distance)


def _arrow(a: Field, b: Field, v: float) -> Field:
    tip = np.minimum(a - 0.05, (0.95 - a) * (0.6 + 0.3 * v) - np.abs(b))
    return _any(_box(a, b, 0.48, 0.14 + 0.08 * v, x=-0.4), tip)


def _heart(a: Field, b: Field, v: float) -> Field:
    b = -1.15 * b + 0.15
    return 0.55 * (1 - (a * a + (b - (0.55 + 0.2 * v) * np.sqrt(np.abs(a))) ** 2) / 0.8)


def _drop(a: Field, b: Field, v: float) -> Field:
    cone = np.minimum(np.minimum(0.95 - a, a), (0.95 - a) * (0.5 + 0.15 * v) - np.abs(b))
    return _any(_disc(a, b, 0.52 + 0.1 * v, x=-0.3), cone)


def _zigzag(a: Field, b: Field, v: float) -> Field:
    wave = np.abs((a * 1.6 + 0.5) % 1 - 0.5) * 1.6 - 0.4
    return np.minimum(_band(b - wave, 0.2 + 0.08 * v), 0.92 - np.abs(a))


def _snake(a: Field, b: Field, v: float) -> Field:
    return np.minimum(_band(b - 0.45 * np.sin(a * (4.5 + v)), 0.2), 0.92 - np.abs(a))


def _spiral(a: Field, b: Field, v: float) -> Field:
    r, angle = np.hypot(a, b), np.arctan2(b, a)
    turns = (r / 0.42 - angle / (2 * math.pi) + v) % 1
    return np.minimum((0.27 - np.abs(turns - 0.5)) * 0.42, 0.95 - r)


def _pie(a: Field, b: Field, v: float) -> Field:
    return np.minimum(_disc(a, b, 0.9), np.abs(np.arctan2(b, a)) * np.hypot(a, b) - (0.2 + 0.4 * v) * np.hypot(a, b))


def _chevron(a: Field, b: Field, v: float) -> Field:
    return np.minimum(_band(a + (0.7 + 0.3 * v) * np.abs(b) - 0.3, 0.24), 0.85 - np.abs(b))


SHAPES: Mapping[str, Callable[[Field, Field, float], Field]] = {
    "disc": lambda a, b, v: _disc(a, b, 0.85),
    "ring": lambda a, b, v: _band(np.hypot(a, b) - 0.66, 0.14 + 0.1 * v),
    "ellipse": lambda a, b, v: 0.5 * (0.9 - np.hypot(a, b / (0.45 + 0.15 * v))),
    "half disc": lambda a, b, v: np.minimum(_disc(a, b, 0.9, y=-0.35), b + 0.35),
    "pie": _pie,
    "triangle": _polygon(3),
    "square": lambda a, b, v: _box(a, b, 0.72, 0.72),
    "pentagon": _polygon(5),
    "hexagon": _polygon(6),
    "bar": lambda a, b, v: _box(a, b, 0.95, 0.16 + 0.1 * v),
    "frame": lambda a, b, v: _band(np.maximum(np.abs(a), np.abs(b)) - 0.62, 0.12 + 0.08 * v),
    "rhombus": lambda a, b, v: 0.7 * (0.9 - np.abs(a) - np.abs(b) / (0.5 + 0.2 * v)),
    "trapezium": lambda a, b, v: np.minimum(0.55 - np.abs(b), 0.62 + (0.4 + 0.3 * v) * b - np.abs(a)),
    "cross": lambda a, b, v: _any(_box(a, b, 0.9, 0.17 + 0.1 * v), _box(a, b, 0.17 + 0.1 * v, 0.9)),
    "letter L": lambda a, b, v: _any(_box(a, b, 0.2, 0.85, x=-0.45), _box(a, b, 0.65, 0.2, y=0.65)),
    "letter T": lambda a, b, v: _any(_box(a, b, 0.19, 0.8, y=0.1), _box(a, b, 0.8, 0.19, y=-0.7)),
    "letter H": lambda a, b, v: (
        _any(_band(np.abs(a) - 0.55, 0.18) + 0 * b, _box(a, b, 0.6, 0.16)) - np.maximum(0, np.abs(b) - 0.8) * 4
    ),
    "letter U": lambda a, b, v: _any(
        np.minimum(_band(np.abs(a) - 0.5, 0.17), 0.8 - np.abs(b)), _box(a, b, 0.67, 0.18, y=0.65)
    ),
    "dumb-bell": lambda a, b, v: _any(_disc(np.abs(a), b, 0.36 + 0.06 * v, x=0.56), _box(a, b, 0.5, 0.12)),
    "arrow": _arrow,
    "heart": _heart,
    "drop": _drop,
    "zigzag": _zigzag,
    "snake": _snake,
    "spiral": _spiral,
    "chevron": _chevron,
}


# ----------------------------------------------------------------- textures
# Each is 0 to 1 over the picture; x, y are turned and stretched coordinates in units of its own pitch.
def _noise(rng: Random, cells: int) -> Field:
    """Smooth noise in 0 to 1: random values on a grid, interpolated with a soft step."""
    grid = rng.random((cells + 1, cells + 1), np.float32)
    at = np.linspace(0, cells, SIDE_PX, endpoint=False)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    part = part * part * (3 - 2 * part)
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _sharp(field: Field, gain: float = 6.0) -> Field:
    return np.clip(0.5 + gain * field, 0, 1)


def _tile(x: Field) -> Field:
    return np.abs((x % 1) - 0.5)


def _points(rng: Random, count: int) -> tuple[Field, Field]:
    """Distances in px to the nearest and the next of random points."""
    v, u = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    at = rng.random((count, 2)) * (SIDE_PX + 16) - 8
    distances = np.hypot(u[None] - at[:, :1, None], v[None] - at[:, 1:, None])
    nearest = np.partition(distances, 1, axis=0)[:2]
    return nearest[0], nearest[1]


def _bricks(x: Field, y: Field, rng: Random) -> Field:
    along = x / 2 + 0.5 * (np.floor(y) % 2)
    return _sharp(0.42 - np.maximum(_tile(y), 0.5 - (0.5 - _tile(along)) * 1.0), 10)


def _scales(x: Field, y: Field, rng: Random) -> Field:
    row = np.floor(2 * y)
    across = (x + 0.5 * (row % 2)) % 1 - 0.5
    return np.clip(1.2 - 1.4 * np.hypot(across, (2 * y) % 1 / 1.6), 0, 1)


def _honeycomb(x: Field, y: Field, rng: Random) -> Field:
    third = 2 * math.pi / 3
    waves = [np.cos(2 * math.pi * (x * math.cos(k * third) + y * math.sin(k * third))) for k in range(3)]
    return _sharp(sum(waves) / 3 + 0.2, 3)


def _cells(x: Field, y: Field, rng: Random) -> Field:
    near, far = _points(rng, int(rng.integers(10, 30)))
    return np.clip((far - near) / 4, 0, 1)


def _random_dots(x: Field, y: Field, rng: Random) -> Field:
    near, _ = _points(rng, int(rng.integers(18, 50)))
    return _sharp(rng.uniform(2.0, 3.5) - near, 0.8)


def _ringed_spots(x: Field, y: Field, rng: Random) -> Field:
    near, _ = _points(rng, int(rng.integers(14, 30)))
    return _sharp(1.3 - np.abs(near - rng.uniform(3.0, 4.5)), 0.8)


def _labyrinth(x: Field, y: Field, rng: Random) -> Field:
    field = rng.standard_normal((SIDE_PX, SIDE_PX))
    frequency = np.hypot(np.fft.fftfreq(SIDE_PX)[:, None], np.fft.fftfreq(SIDE_PX)[None])
    band = np.exp(-(((frequency - rng.uniform(0.09, 0.16)) / 0.02) ** 2))
    made = np.fft.ifft2(np.fft.fft2(field) * band).real
    return _sharp((made / made.std()).astype(np.float32), 1.0)


def _scratches(x: Field, y: Field, rng: Random) -> Field:
    v, u = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    field = np.zeros_like(u)
    for _ in range(int(rng.integers(8, 18))):
        angle, (cx, cy), half = rng.random() * math.pi, rng.random(2) * SIDE_PX, rng.uniform(6, 18)
        along = (u - cx) * math.cos(angle) + (v - cy) * math.sin(angle)
        across = (v - cy) * math.cos(angle) - (u - cx) * math.sin(angle)
        field = np.maximum(field, np.clip(np.minimum(1.4 - np.abs(across), half - np.abs(along)), 0, 1))
    return field


def _confetti(x: Field, y: Field, rng: Random) -> Field:
    field = np.full((SIDE_PX, SIDE_PX), 0.0, np.float32)
    for _ in range(int(rng.integers(15, 40))):
        (top, left), (h, w) = rng.integers(0, SIDE_PX, 2), rng.integers(3, 12, 2)
        field[top : top + h, left : left + w] = rng.uniform(0.3, 1)
    return field


def _wood(x: Field, y: Field, rng: Random) -> Field:
    return 0.5 + 0.5 * np.sin(2 * math.pi * (np.hypot(x, y / 4) + 0.9 * _noise(rng, 4)))


def _rays(x: Field, y: Field, rng: Random) -> Field:
    centre = rng.uniform(-1, 1, 2)
    return _sharp(np.sin(int(rng.integers(5, 14)) * np.arctan2(y - centre[0], x - centre[1])), 2)


TEXTURES: Mapping[str, Callable[[Field, Field, Random], Field]] = {
    "stripes": lambda x, y, rng: _sharp(_tile(x) - 0.25),
    "soft stripes": lambda x, y, rng: 0.5 + 0.5 * np.sin(2 * math.pi * x),
    "grid": lambda x, y, rng: _sharp(0.1 - np.minimum(_tile(x), _tile(y)), 10),
    "chequers": lambda x, y, rng: _sharp(np.sin(math.pi * x) * np.sin(math.pi * y), 4),
    "plaid": lambda x, y, rng: 0.5 + 0.25 * np.sin(2 * math.pi * x) + 0.25 * np.sin(2 * math.pi * y),
    "dots in rows": lambda x, y, rng: _sharp(0.3 - np.hypot(_tile(x), _tile(y)), 8),
    "dots at random": _random_dots,
    "ringed spots": _ringed_spots,
    "rings": lambda x, y, rng: 0.5 + 0.5 * np.sin(2 * math.pi * np.hypot(x, y)),
    "rays": _rays,
    "waves": lambda x, y, rng: _sharp(np.sin(2 * math.pi * (x + 0.3 * np.sin(2.2 * y))), 2),
    "chevrons": lambda x, y, rng: _sharp(_tile(x + 1.2 * _tile(y / 2)) - 0.25),
    "bricks": _bricks,
    "honeycomb": _honeycomb,
    "scales": _scales,
    "cells": _cells,
    "clouds": lambda x, y, rng: 0.6 * _noise(rng, 4) + 0.4 * _noise(rng, 9),
    "grain": lambda x, y, rng: rng.random((SIDE_PX, SIDE_PX), np.float32),
    "marble": lambda x, y, rng: np.abs(np.sin(math.pi * (x / 2 + 2.2 * _noise(rng, 5)))),
    "wood": _wood,
    "labyrinth": _labyrinth,
    "scratches": _scratches,
    "confetti": _confetti,
    "triangles": lambda x, y, rng: _sharp((x % 1) - (y % 1), 5),
}
KINDS = (*SHAPES, *TEXTURES)


# ----------------------------------------------------------------- pictures
def draw_picture(kind: str, rng: Random) -> np.ndarray:
    """A picture of one of KINDS: ``(SIDE_PX, SIDE_PX, 3)`` uint8."""
    near, far = _two_colours(rng)
    if kind in TEXTURES:
        pixels = _mixed(near, far, TEXTURES[kind](*_turned_grid(rng), rng))
    else:
        pixels = _mixed(near, near + (far - near) * rng.uniform(0, 0.35), _ground(rng))
        for place in _places(rng, int(rng.integers(1, 6))):
            _draw_shape(rng, pixels, SHAPES[kind], place, far)
    light = _noise(rng, 2)[..., None] * rng.uniform(0, 0.25)
    pixels = pixels * (1 - light) + rng.uniform(0, 0.05) * rng.standard_normal(pixels.shape, np.float32)
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _two_colours(rng: Random) -> tuple[np.ndarray, np.ndarray]:
    """Two colours whose lightness differs enough to be told apart."""
    lightness = rng.uniform(0.12, 0.92, 2)
    while abs(lightness[0] - lightness[1]) < 0.22:
        lightness = rng.uniform(0.12, 0.92, 2)
    colours = [colorsys.hls_to_rgb(rng.random(), light, rng.uniform(0.05, 0.9)) for light in lightness]
    return np.array(colours[0], np.float32), np.array(colours[1], np.float32)


def _mixed(near: np.ndarray, far: np.ndarray, share: Field) -> np.ndarray:
    return (near + (far - near) * share[..., None]).astype(np.float32)


def _turned_grid(rng: Random) -> tuple[Field, Field]:
    pitch, angle = rng.uniform(6, 18), rng.random() * 2 * math.pi
    v, u = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    u, v = (u - SIDE_PX / 2) / pitch, (v - SIDE_PX / 2) / pitch
    shift = rng.random(2)
    return u * math.cos(angle) + v * math.sin(angle) + shift[0], v * math.cos(angle) - u * math.sin(angle) + shift[1]


def _ground(rng: Random) -> Field:
    """A quiet background, or a faint texture of any kind, so that a texture alone does not tell the kind."""
    if rng.random() < 0.5:
        return _noise(rng, int(rng.integers(2, 12)))
    return TEXTURES[tuple(TEXTURES)[rng.integers(len(TEXTURES))]](*_turned_grid(rng), rng)


def _places(rng: Random, count: int) -> list[tuple[float, float, float]]:
    """Centres and radii in px that hardly overlap."""
    largest = SIDE_PX * (0.42, 0.30, 0.26, 0.23, 0.20)[count - 1]
    places: list[tuple[float, float, float]] = []
    for _ in range(200):
        radius = largest * rng.uniform(0.65, 1)
        x, y = rng.uniform(0.9 * radius, SIDE_PX - 0.9 * radius, 2)
        if all(math.hypot(x - a, y - b) > 0.95 * (radius + c) for a, b, c in places):
            places.append((x, y, radius))
        if len(places) == count:
            break
    return places


def _draw_shape(
    rng: Random,
    pixels: np.ndarray,
    outline: Callable[[Field, Field, float], Field],
    place: tuple[float, float, float],
    colour: np.ndarray,
) -> None:
    """One shape, in place: shaded, sometimes patterned, with a soft border."""
    x, y, radius = place
    v, u = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    u, v = (u - x) / radius, (v - y) / radius
    turn, vary = rng.random() * 2 * math.pi, rng.random()
    a, b = u * math.cos(turn) + v * math.sin(turn), v * math.cos(turn) - u * math.sin(turn)
    if rng.random() < 0.5:
        b = -b
    coverage = (outline(a, b, vary) * radius + 0.5).clip(0, 1)[..., None]
    fill = colour + rng.normal(0, 0.05, 3).astype(np.float32)
    fill = fill * (1 + rng.uniform(-0.3, 0.3) * u + rng.uniform(-0.3, 0.3) * v)[..., None]
    if rng.random() < 0.35:
        fill = fill * (1 - rng.uniform(0.15, 0.4) * (np.sin(a * rng.uniform(6, 16)) > 0))[..., None]
    pixels[:] = pixels * (1 - coverage) + fill * coverage
