"""Several processes of a test, started as a run's are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from tests.training.conftest import tiny_folder, tiny_settings  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parents[2]


def in_processes(number: int, folder: Path) -> list[Any]:
    """What each rank of ``cases.py`` found."""
    script = Path(__file__).with_name("cases.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
    subprocess.run(
        [*command, str(script), str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=True,
    )
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=False) for rank in range(number)]
