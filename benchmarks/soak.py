"""The whole app for minutes: runs in a queue, people who watch, and kills at random; then what is left is looked at.

    python -m benchmarks.soak [--minutes 8] [--runs 20] [--viewers 10] [--every 20] [--seed 0]

A real ``app.py``, real runs of the sample with one seed and the same settings, pages that ask once a second. Every
``--every`` seconds one process gets SIGKILL: the worker, the app, or one of the app's own (assistants, the standby). A
dead app is started again at its port; a run that was lost is resumed through its route. At the end:

- each log is whole: no event lost or damaged, and each run's curve has every step once;
- runs that completed have the same weights to the last bit, however often they were killed;
- a page has what the log has: no step missing or twice, over restarts of the app;
- when the app has ended, none of its processes and none of its temporary folders is left.

Exit code 1 if any of it does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from safetensors.numpy import load_file

from benchmarks.startup import free_port
from fine_tuner.config.io import replace
from fine_tuner.config.presets import load_preset
from fine_tuner.launch.process import worker_pid
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.run_view import RunView

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    "devices=cpu", "precision.dtype=fp32", "precision.channels_last=off", "data.num_workers=0", "train.epochs=3",
)  # fmt: skip


class App:
    """``app.py`` on one port, started again after each death."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.temporary, self.port = folder / "runs", folder / "tmp", free_port()
        self.temporary.mkdir()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.said = (folder / "app.log").open("wb")
        self.starts = 0
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary)}
        command = [sys.executable, "app.py", "--no-browser", "--port", str(self.port), "--runs", str(self.runs)]
        self.process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=self.said, stderr=self.said)
        self.starts += 1
        until = time.monotonic() + 600
        while self.ask("api/runs") is None:
            if time.monotonic() > until or self.process.poll() is not None:
                self.process.kill()
                raise SystemExit("the app did not start within ten minutes")
            time.sleep(0.2)

    def ask(self, path: str, method: str = "GET") -> dict[str, Any] | None:
        """An answer; None while the app is down."""
        request = urllib.request.Request(self.address + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return {"refused": error.read().decode()}
        except OSError:
            return None

    def own(self) -> list[psutil.Process]:
        """Assistants and standby; not the workers."""
        workers = {worker_pid(run) for run in folders(self.runs)}
        with suppress(psutil.NoSuchProcess):
            return [child for child in self.process.children() if child.pid not in workers]
        return []


class Viewer(threading.Thread):
    """A page that shows one run after the other: asks once a second, keeps the points."""

    def __init__(self, app: App, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.app, self.number, self.stop = app, number, stop
        self.took: list[float] = []
        self.faults: list[str] = []
        self.unanswered = 0

    def run(self) -> None:
        """Until told to stop."""
        run, cursor, steps = "", "", []
        while not self.stop.wait(1.0):
            names = [folder.id for folder in folders(self.app.runs) if folder.events.exists()]
            if not names:
                continue
            if not run or (cursor and random.random() < 0.02):
                run, cursor, steps = names[self.number % len(names)], "", []
            begun = time.perf_counter()
            answer = self.app.ask(f"api/live?run={run}&since={cursor}")
            if answer is None or "cursor" not in answer:
                self.unanswered += 1
                continue
            self.took.append(time.perf_counter() - begun)
            cursor, steps = answer["cursor"], [] if answer["reset"] else steps
            for curve in answer["curves"]:
                if "train/loss" in curve["keys"]:
                    steps += curve["x"]
            if steps != sorted(set(steps)):
                self.faults.append(f"{run}: steps twice or out of order on a page")
                steps = []


def folders(runs: Path) -> list[RunFolder]:
    """All runs, oldest first."""
    store = RunStore(runs)
    return [RunFolder(runs / run_id) for run_id in reversed(store.ids())]


def kill_one(app: App, dice: random.Random) -> str:
    """Kill a process, chosen at random; what it was, "" if there was none."""
    workers = {run.id: pid for run in folders(app.runs) if (pid := worker_pid(run))}
    own = app.own()
    kinds = [kind for kind, there in (("worker", workers), ("app", True), ("assistant or standby", own)) if there]
    kind = dice.choice(kinds)
    pid = {"worker": lambda: dice.choice(list(workers.values())), "app": lambda: app.process.pid}.get(
        kind, lambda: dice.choice(own).pid
    )()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if kind == "app":
        app.process.wait()
        app.begin()
    return kind


def digest_of(weights: Path) -> str:
    """Of the numbers alone: beside them is the run's id."""
    digest = hashlib.sha256()
    for name, values in sorted(load_file(weights).items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


def check_logs(runs: Path) -> tuple[Counter[str], list[str]]:
    """How runs ended, and what is wrong with them."""
    ended: Counter[str] = Counter()
    faults, weights = [], {}
    for run in folders(runs):
        view = RunView(run, use_cache=False)
        ended[view.status] += 1
        if view.facts.lost or view.facts.skipped:
            faults.append(f"{run.id}: {view.facts.lost} events lost, {view.facts.skipped} damaged")
        series = view.series.get("train/loss")
        steps = series.step.tolist() if series is not None else []
        if steps != list(range(1, len(steps) + 1)):
            faults.append(f"{run.id}: a step is missing or twice")
        if view.status == "completed":
            weights[run.id] = digest_of(run.best_weights)
        elif view.status in ("failed", "lost"):
            faults.append(f"{run.id}: {view.status}: {view.sentence}")
    if len(set(weights.values())) > 1:
        faults.append(f"completed runs of the same settings differ: {weights}")
    return ended, faults


def soak(app: App, minutes: float, viewers: int, every: float, dice: random.Random) -> tuple[Counter[str], list[str]]:
    """Let it run; kills by kind, and what pages saw wrong."""
    stop, killed = threading.Event(), Counter[str]()
    pages = [Viewer(app, number, stop) for number in range(viewers)]
    for page in pages:
        page.start()
    begun = time.monotonic()
    next_kill, memory = begun + every, []
    while (now := time.monotonic()) < begun + 60 * minutes:
        lines = (app.ask("api/runs") or {}).get("runs", [])
        if lines and all(line["status"] == "completed" for line in lines):
            break
        for line in lines:
            if line["status"] in ("lost", "failed"):
                app.ask(f"api/runs/{line['id']}/resume", "POST")
        if now > next_kill and now < begun + 60 * minutes - 2 * every:  # what is hit last has time to come back
            killed[kill_one(app, dice)] += 1
            next_kill = time.monotonic() + dice.uniform(0.5, 1.5) * every
        with suppress(psutil.Error):
            memory.append((app.starts, now, app.process.memory_info().rss / 2**20))
        stop.wait(1)
    stop.set()
    for page in pages:
        page.join(30)
    took = sorted(seconds for page in pages for seconds in page.took)
    last = [(at, mib) for start, at, mib in memory if start == app.starts]
    print(f"minutes            {(time.monotonic() - begun) / 60:.1f}; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"answers to pages   {len(took)}, {sum(page.unanswered for page in pages)} asked while the app was down")
    if took:
        print(
            f"an answer takes    {1000 * took[len(took) // 2]:.0f} ms, 95 % {1000 * took[int(0.95 * len(took))]:.0f} ms"
        )
    if len(last) > 1:
        (begun_at, first), (ended_at, most) = last[0], last[-1]
        print(f"memory of the app  {first:.0f} MiB at its last start, {most:.0f} MiB after {ended_at - begun_at:.0f} s")
    return killed, [fault for page in pages for fault in page.faults]


def end(app: App) -> list[str]:
    """End the app; what is left that should not be. Runs at work go on."""
    own = app.own()
    app.process.terminate()
    app.process.wait(60)
    _, alive = psutil.wait_procs(own, timeout=10)
    left = [f"a process of the app is left: {process.cmdline()}" for process in alive]
    left += [f"a folder of the app is left: {path.name}" for path in app.temporary.glob("fine-tuner-app-*")]
    if b"Traceback" in Path(app.said.name).read_bytes():
        left.append(f"a traceback in the terminal: {Path(app.said.name).read_text()[:2000]}")
    return left


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--every", type=float, default=20, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        app = App(Path(place))
        store, settings = RunStore(app.runs), replace(load_preset("sample"), *SETTINGS)
        for _ in range(asked.runs):
            run = store.create(settings, argv=["train", "sample", *SETTINGS])
            app.ask(f"api/runs/{run.id}/resume", "POST")
        killed, faults = soak(app, asked.minutes, asked.viewers, asked.every, dice)
        faults += end(app)
        ended, wrong = check_logs(app.runs)
        for pid in filter(None, map(worker_pid, folders(app.runs))):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        attempts = sum(RunView(run).facts.attempt for run in folders(app.runs))
    kinds = ", ".join(f"{count} {kind}" for kind, count in killed.most_common())
    print(f"killed             {sum(killed.values())}: {kinds}; the app was started {app.starts} times")
    print(f"runs               {', '.join(f'{n} {status}' for status, n in ended.most_common())}; {attempts} attempts")
    for fault in (*faults, *wrong):
        print(f"FAULT              {fault}")
    if not faults + wrong:
        print("no step lost, no fault")
    return 1 if faults + wrong else 0


if __name__ == "__main__":
    sys.exit(main())
