"""How long the list of runs takes: the first time, after a restart, and while the page is open.

``python -m benchmarks.many_runs --runs 1000`` makes that many runs of 200 steps below a temporary folder and prints
seconds of wall clock, and of this process's processor time, for each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fine_tuner.runs.log.events import EvalMetrics, Event, Payload, RunFinished, RunStarted, TrainMetrics, encode
from fine_tuner.runs.store import RunStore

_STEPS = 200
_FACTS = {"global_batch_size": 32, "val_images": 100, "best_metric": "val/accuracy", "best_direction": "max"}


def log_of_a_run() -> bytes:
    """A log of ``_STEPS`` steps with a validation each tenth."""
    payloads: list[Payload] = [
        RunStarted(start_step=0, total_steps=_STEPS, epochs=_STEPS // 10, steps_per_epoch=10, facts=_FACTS)
    ]
    for step in range(1, _STEPS + 1):
        metrics = {"train/loss": 1 / step, "train/lr/head": 1e-3, "train/images_per_second": 320.0}
        payloads.append(TrainMetrics(step=step, epoch=(step - 1) // 10 + 1, metrics=metrics))
        if step % 10 == 0:
            found = {"val/loss": 1 / step, "val/accuracy": 1 - 1 / step}
            payloads.append(EvalMetrics(step=step, epoch=step // 10, split="val", metrics=found, seconds=2.0))
    payloads.append(RunFinished(outcome="completed", step=_STEPS, error=None))
    events = [Event(seq=i, time=1.7e9 + i / 10, attempt=1, payload=payload) for i, payload in enumerate(payloads)]
    return "".join(encode(event) + "\n" for event in events).encode()


def make_runs(root: Path, count: int) -> None:
    """``count`` folders of completed runs."""
    log = log_of_a_run()
    for number in range(count):
        run_id = f"20260101-{number:06d}-resnet18-ants-k3f9"
        for part in ("control", "logs", "checkpoints/best"):
            (root / run_id / part).mkdir(parents=True)
        info = {"v": 1, "id": run_id, "title": f"ants {number}", "created": 1.7e9 + number, "model": "resnet18"}
        (root / run_id / "run.json").write_text(json.dumps(info))
        (root / run_id / "config.yaml").write_text("seed: 1\n")
        (root / run_id / "events.jsonl").write_bytes(log)


def timed(what: str, act: Callable[[], object]) -> None:
    """Print how long ``act`` takes."""
    wall, processor = time.perf_counter(), time.process_time()
    act()
    print(f"{what:34} {time.perf_counter() - wall:7.2f} s  {time.process_time() - processor:7.2f} s of processor")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    count = parser.parse_args().runs
    root = Path(tempfile.mkdtemp(prefix="many-runs-"))
    try:
        make_runs(root, count)
        store = RunStore(root)
        timed("first list on the page, no caches", lambda: store.list(0.3))
        timed("all of it, no caches", store.list)
        timed("again, the page open", store.list)
        fresh = RunStore(root)
        timed("first list after a restart", fresh.list)
        timed("one run, as a search does", lambda: fresh.summary(fresh.ids()[0]))
        timed("the newest id", lambda: next(iter(fresh.ids())))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
