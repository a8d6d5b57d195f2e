"""Launchers with workers that are real processes but need no torch."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.launch.launcher import Launcher
from fine_tuner.launch.process import worker_pid
from fine_tuner.runs.store import RunStore
from tests.runs.conftest import python, store  # noqa: F401 - fixtures
from tests.runs.logs import wait_until

HERE = Path(__file__).parent
CPU = replace(Settings(), "devices=cpu")


def fake_command(run, *options):
    """Command of the stand-in for a worker."""
    return [sys.executable, str(HERE / "fake_worker.py"), str(run.path), *map(str, options)]


@pytest.fixture
def make_run(store: RunStore):  # noqa: F811
    """Make a run that trains on the CPU, or on another device."""
    return lambda device="cpu": store.create(replace(CPU, f"devices={device}"), argv=["train"])


@pytest.fixture
def make_launcher(store: RunStore):  # noqa: F811
    """Launchers whose workers take the given options; nothing of them is left at the end."""
    launchers = []

    def make(*options, **arguments):
        arguments.setdefault("command", lambda run: fake_command(run, *options))
        launchers.append(Launcher(store, look_seconds=0.02, **arguments))
        return launchers[-1]

    yield make
    for launcher in launchers:
        launcher.close()
    for run_id in store.ids():
        run = store.get(run_id)
        pid = worker_pid(run)
        if pid is not None and pid != os.getpid():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    for launcher in launchers:
        wait_until(lambda launcher=launcher: not launcher._busy)
