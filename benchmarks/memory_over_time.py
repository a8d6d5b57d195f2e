"""Does the app's memory stay flat? Clients that poll, load pages and ask for plans, for minutes.

``python -m benchmarks.memory_over_time [--minutes 15] [--clients 10]``. A run whose log grows by five steps a second is
written by this process, so that nothing else takes the processor. Each client asks once a second as the page does,
lists the runs every ten seconds, loads the whole page anew (a new session of Gradio's) every minute and asks for a plan
of other settings twice a minute.

Printed every minute: resident memory of the app and of its assistants together, sessions opened and answers so far. At
the end: what the app gained every 30 s, by a straight line through the second half.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.startup import free_port
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import EventWriter, RunStarted, TrainMetrics
from fine_tuner.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS = 5.0
_STEPS_PER_SECOND = 5


class Client(threading.Thread):
    """One open page, and the same person loading it again and again."""

    def __init__(self, address: str, run: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.address, self.run_id, self.number, self.stop = address, run, number, stop
        self.answers = self.sessions = self.failures = 0

    def run(self) -> None:
        """Until told to stop."""
        cursor = ""
        with httpx.Client(base_url=self.address, timeout=60, headers={"Origin": self.address.rstrip("/")}) as client:
            second = self.number * 6  # people do not do the same at once
            while not self.stop.wait(1.0):
                second += 1
                try:
                    if second % 60 == 0:
                        self._load(client)
                        cursor = ""
                    if second % 30 == 15:
                        rate = f"optim.lr={0.001 + second / 1e6 + self.number / 1e8:.8f}"
                        client.post("api/plan", json={"argv": ["sample", rate], "visitor": f"v{self.number}"})
                    if second % 10 == 0:
                        client.get("api/runs").raise_for_status()
                    answer = client.get("api/live", params={"run": self.run_id, "since": cursor}).raise_for_status()
                    cursor = answer.json()["cursor"]
                    self.answers += 1
                except httpx.HTTPError:
                    self.failures += 1

    def _load(self, client: httpx.Client) -> None:
        """The page, its settings, and Gradio's heartbeat for a moment: what a browser asks for first."""
        client.get("").raise_for_status()
        client.get("config").raise_for_status()
        with (
            suppress(httpx.ReadTimeout),
            client.stream("GET", f"gradio_api/heartbeat/{secrets.token_hex(6)}", timeout=2) as beat,
        ):
            next(beat.iter_bytes(), b"")
        self.sessions += 1


def train(run: RunFolder, stop: threading.Event) -> None:
    """Write what a worker writes."""
    lock = WorkerLock(run.lock)
    lock.acquire()
    writer = EventWriter(run.events)
    writer.write(RunStarted(start_step=0, total_steps=10**6, epochs=1, steps_per_epoch=10**6))
    step = 0
    while not stop.wait(1 / _STEPS_PER_SECOND):
        step += 1
        metrics = {"train/loss": 1 / step, "train/lr/head": 1e-3, "train/grad_norm": 1.0, "train/images_per_second": 90}
        writer.write(TrainMetrics(step=step, epoch=1, metrics=metrics))
    writer.close()
    lock.release()


def mebibytes(processes: list[psutil.Process]) -> float:
    """Resident memory together."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20


def measure(app: psutil.Process, clients: list[Client], minutes: float) -> None:
    """Sample until the end, then say how it went."""
    begun, told, taken = time.monotonic(), 0, []
    while (passed := time.monotonic() - begun) < 60 * minutes:
        time.sleep(_SAMPLE_SECONDS)
        own = mebibytes([app])
        taken.append((passed, own))
        if passed > 60 * told:
            others = mebibytes(app.children(recursive=True))
            counts = [sum(getattr(client, what) for client in clients) for what in ("answers", "sessions", "failures")]
            print(
                f"{passed / 60:5.1f} min: app {own:6.1f} MiB, its children {others:7.1f} MiB, {counts[0]} answers, "
                f"{counts[1]} page loads, {counts[2]} failures",
                flush=True,
            )
            told += 1
    seconds, sizes = np.array(taken[len(taken) // 2 :]).T
    slope = np.polyfit(seconds, sizes, 1)[0]
    print(f"second half: {30 * slope:+.3f} MiB every 30 s; {sizes[0]:.1f} to {sizes[-1]:.1f} MiB")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=10)
    arguments = parser.parse_args()
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as place:
        store = RunStore(Path(place, "runs"))
        run = store.create(Settings(), argv=["train", "sample"])
        threading.Thread(target=train, args=(run, stop), daemon=True).start()
        port = free_port()
        address = f"http://127.0.0.1:{port}/"
        command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--runs", str(store.root)]
        environment = os.environ | {"FINE_TUNER_CACHE": str(Path(place, "cache"))}
        app = psutil.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            while True:
                with suppress(httpx.HTTPError):
                    httpx.get(address + "api/runs", timeout=5).raise_for_status()
                    break
                time.sleep(0.5)
            clients = [Client(address, run.id, number, stop) for number in range(arguments.clients)]
            for client in clients:
                client.start()
            measure(app, clients, arguments.minutes)
        finally:
            stop.set()
            app.terminate()
            app.wait(60)


if __name__ == "__main__":
    main()
