"""Tiny data sets, written as files; a cache of their own for all tests of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fine_tuner.base.cache_folder import CACHE_VARIABLE
from fine_tuner.data.records import DataSplits
from fine_tuner.data.sources import read_data


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Smooth random colours, so that another seed is another picture also to the eye."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder shared by the tests of one session, so that the sample is made once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _own_cache(cache: Path) -> None:
    """No test touches the user's cache."""


@pytest.fixture(autouse=True)
def _global_rng_is_left_alone() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was drawn from or seeded"


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """``make({"ants": 3, "bees": 2}, below="train")`` writes PNGs and returns the root."""

    def make(counts: Mapping[str, int], below: str = "", root: Path | None = None) -> Path:
        root = root or tmp_path / "pictures"
        for number, (name, count) in enumerate(counts.items()):
            folder = root / below / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                picture(1000 * number + i).save(folder / f"{Path(name).name}{i:03d}.png")
        return root

    return make


@pytest.fixture
def read() -> Callable[..., DataSplits]:
    """``read_data`` with the usual settings."""

    def call(path: object, **changes: object) -> DataSplits:
        return read_data(str(path), **{"task": "classification", "val_fraction": 0.25, "seed": 0, **changes})

    return call
