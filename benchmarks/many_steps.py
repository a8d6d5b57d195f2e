"""Opening a run of a million steps whose only record is its log, as after a copy without its cache.

``python -m benchmarks.many_steps --steps 1000000`` writes such a log to a temporary folder and prints, of a process
that opens it, seconds of processor time and the most memory; then the same with the cache that the first one left.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fine_tuner.config.settings import Settings
from fine_tuner.runs.log.events import Event, Payload, RunFinished, RunStarted, TrainMetrics, encode
from fine_tuner.runs.store import RunStore

_OPEN = """
import resource, sys, time
from fine_tuner.runs.store import RunStore
before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
view = RunStore(sys.argv[1]).view(sys.argv[2])
took, most = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{len(view.series['train/loss']):,} points: {took:.2f} s of processor, {(most - before) / 1024:.0f} MiB more")
"""


def write_log(path: Path, steps: int) -> None:
    """A log of ``steps`` steps; its lines are those of the real writer, with other numbers."""

    def line(payload: Payload, seq: int, seconds: float) -> str:
        return encode(Event(seq=seq, time=seconds, attempt=1, payload=payload)) + "\n"

    metrics = {"train/loss": 0.25, "train/lr/head": 1e-3, "train/grad_norm": 1.5, "train/images_per_second": 320.0}
    pattern = line(TrainMetrics(step=777777, epoch=1, metrics=metrics), 888888, 1.7e9 + 0.125)
    for number, name in (("777777", "step"), ("888888", "seq"), ("1700000000.125", "time"), ("0.25", "loss")):
        assert pattern.count(number) == 1, name
        pattern = pattern.replace(number, f"<{name}>")
    pattern = pattern.replace("{", "{{").replace("}", "}}").replace("<", "{").replace(">", "}")
    with path.open("w") as log:
        started = RunStarted(start_step=0, total_steps=steps, epochs=1, steps_per_epoch=steps, facts={})
        log.write(line(started, 0, 1.7e9))
        for step in range(1, steps + 1):
            loss = round(1 / step + step % 17 / 1000, 6)
            log.write(pattern.format(seq=step, step=step, time=round(1.7e9 + step / 50, 3), loss=loss))
        log.write(line(RunFinished(outcome="completed", step=steps, error=None), steps + 1, 1.7e9 + steps))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as place:
        run = RunStore(place).create(Settings(), argv=["train"])
        write_log(run.events, steps)
        for what in ("log alone", "with the cache"):
            print(f"{what:16}", end="", flush=True)
            subprocess.run([sys.executable, "-c", _OPEN, place, run.id], check=True)


if __name__ == "__main__":
    main()
