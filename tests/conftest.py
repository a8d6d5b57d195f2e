"""Fixtures and police shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images and weights; tests that need it skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FINE_TUNER_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip("real images and weights are not on this machine (set FINE_TUNER_TEST_DATA)")
    return folder
