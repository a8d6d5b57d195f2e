"""What a large folder of pictures costs before it trains: the check of the data, again from what is known, and a plan.

``python -m benchmarks.many_pictures --pictures 50000 --classes 200`` draws that many small JPEGs, no two equal, into a
temporary folder, and prints for each command seconds of wall clock and of processor time (its processes together), and
the most memory that one process took.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
_SIDE = 96


def draw(folder: Path, pictures: int, classes: int) -> None:
    """Class folders of smooth noise; JPEGs of about 2 kB."""
    rng = np.random.default_rng(0)
    for number in range(pictures):
        place = folder / f"class-{number % classes:03d}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).save(place / f"{number:06d}.jpg", quality=80)


def measure(what: str, words: list[str], cache: Path) -> None:
    """Run a command to its end and print its line."""
    environment = os.environ | {"FINE_TUNER_CACHE": str(cache)}
    begun = time.perf_counter()
    command = [sys.executable, "-m", "fine_tuner", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    print(
        f"{what:24}{wall:7.1f} s {used.ru_utime + used.ru_stime:7.1f} s of processor {used.ru_maxrss / 1024:7.0f} MiB"
        f"   code {process.returncode}",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data, cache = Path(place, "data"), Path(place, "cache")
        draw(data, arguments.pictures, arguments.classes)
        plan = ["plan", "default", f"data.path={data}", "model.weights=none", "--json"]
        measure("check-data", ["check-data", str(data), "--json"], cache)
        measure("check-data, again", ["check-data", str(data), "--json"], cache)
        measure("plan", plan, cache)
        measure("plan, nothing known", plan, Path(place, "other-cache"))


if __name__ == "__main__":
    main()
