"""Runs for tests: real folders, logs written by the real writer, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore

hypothesis_settings.register_profile("any machine", deadline=None)  # a busy machine is no failure
hypothesis_settings.load_profile("any machine")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def run(store: RunStore) -> RunFolder:
    """A run folder as the store makes it, with nothing recorded yet."""
    return store.create(Settings(), argv=["train", "sample"])


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start Python code in a real process; whatever still lives at the end is killed."""
    children: list[subprocess.Popen] = []

    def start(code: str, *arguments: object, **options: object) -> subprocess.Popen:
        package = str(Path(__file__).resolve().parents[2])
        options.setdefault("env", os.environ | {"PYTHONPATH": package})
        command = [sys.executable, "-c", code, *map(str, arguments)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **options)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            pipe.close()
