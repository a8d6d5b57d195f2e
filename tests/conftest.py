"""Fixtures and police shared by all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a camera that shows a clock
_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the tests a cache of their own, shared by workers: what this machine knows of speeds decides nothing.

    And one thread to each process: as many workers as cores fill them, and threads of OpenMP that wait for each other
    spin, which made a test of 6 s one of 100 on a busy machine.
    """
    if not hasattr(config, "workerinput"):  # a worker inherits the environment of the process that started it
        config.stash[_CACHE] = os.environ["FINE_TUNER_CACHE"] = tempfile.mkdtemp(prefix="fine-tuner-cache-")
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_CACHE, None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images and weights; tests that need it skip where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FINE_TUNER_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip("real images and weights are not on this machine (set FINE_TUNER_TEST_DATA)")
    return folder


class SmallDisk:
    """A file system of its own in memory, of 16 MiB, which can be made read-only and filled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self, options: str) -> bool:
        """Whether it could be done: it is for root alone."""
        path = str(self.path)
        return (
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], capture_output=True).returncode == 0
        )

    def make_read_only(self) -> None:
        """From now on whatever is written fails, for root too."""
        assert self.mount("remount,ro")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mounted for one test, which is skipped where nothing can be mounted."""
    disk = SmallDisk(tmp_path / "disk")
    disk.path.mkdir()
    if shutil.which("mount") is None or not disk.mount("size=16m"):
        pytest.skip("no right to mount a file system here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.path)], check=True)


@pytest.fixture(scope="session")
def browser():
    """Chromium; tests that need it skip where it is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()
