"""What it costs that people watch: one real run, one real app, and viewers that ask once a second as the page does.

Windows without and with viewers alternate, so that a busy machine treats both alike. Run:
``python -m benchmarks.viewers [--viewers 20 100] [--rounds 4] [--seconds 12]``.

Printed for each number of viewers: latency of an answer, bytes of a tick, processor time of the app, and how many
images a second the training did, on the clock and by its own processor time. The viewers themselves run on the same
machine, in a process of their own whose processor time is printed too: what they take is no cost of the page. On a
machine with other work the clock says little; the bar (at most 1 % of images/s for 20 viewers) is then held by the
app's processor time as a part of that of the whole machine, which is the most that a training can lose to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import httpx
import psutil

from benchmarks.startup import free_port
from fine_tuner.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ["train", "sample", "train.epochs=100000", "train.batch_size=8", "schedule.name=ConstantLR"]


async def watch(address: str, run: str, seconds: float, number: int) -> list[tuple[float, int]]:
    """One viewer: the page's question once a second; (latency in seconds, bytes of the body) of each answer."""
    seen = []
    limits = httpx.Limits(max_keepalive_connections=1)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30) as client:
        await asyncio.sleep(number % 20 / 20)  # people do not ask all at once
        cursor, until = "", time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.perf_counter()
            answer = await client.get("api/live", params={"run": run, "since": cursor})
            took = time.perf_counter() - begun
            if cursor:  # the first answer brings the whole curve
                seen.append((took, answer.num_bytes_downloaded))
            cursor = answer.json()["cursor"]
            await asyncio.sleep(max(0.0, 1 - took))
    return seen


async def watch_all(address: str, run: str, seconds: float, viewers: int) -> list[tuple[float, int]]:
    """All viewers together."""
    found = await asyncio.gather(*(watch(address, run, seconds, number) for number in range(viewers)))
    return [one for part in found for one in part]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all its threads."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


class Bench:
    """The app and the training."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": environment}
        self.store = RunStore(folder / "runs")
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
        options = ["--runs", str(self.store.root)]
        self.training = subprocess.Popen([sys.executable, "-m", "fine_tuner", *TRAIN, *options], **quiet)
        self.app = subprocess.Popen([sys.executable, "app.py", "--no-browser", "--port", str(port), *options], **quiet)

    def wait(self) -> str:
        """Until the page is served and the run trains; its id."""
        until = time.monotonic() + 240
        while time.monotonic() < until:
            time.sleep(0.5)
            ids = self.store.ids()
            if ids and self.store.view(ids[0]).progress.step > 20:
                with urllib.request.urlopen(self.address, timeout=20) as answer:
                    answer.read()
                return ids[0]
        raise SystemExit("nothing trained within four minutes")

    def window(self, run: str, seconds: float, viewers: int) -> dict[str, float]:
        """Steps, times and answers of some seconds with so many viewers."""
        step = self.store.view(run).progress.step
        before = cpu_seconds(self.app.pid), cpu_seconds(self.training.pid), time.monotonic()
        found: dict[str, float] = {}
        if viewers:
            command = [sys.executable, "-m", "benchmarks.viewers", "--client", self.address, run, str(seconds)]
            client = subprocess.run(
                [*command, "--viewers", str(viewers)], cwd=ROOT, capture_output=True, text=True, check=True
            )
            found = json.loads(client.stdout)
        else:
            time.sleep(seconds)
        wall = time.monotonic() - before[2]
        images = 8 * (self.store.view(run).progress.step - step)
        training = cpu_seconds(self.training.pid) - before[1]
        return found | {
            "app_percent": 100 * (cpu_seconds(self.app.pid) - before[0]) / wall,
            "images_per_second": images / wall,
            "images_per_cpu_second": images / training,
        }

    def end(self) -> None:
        """End both."""
        for process in (self.training, self.app):
            process.terminate()
            process.wait(60)


def client(address: str, run: str, seconds: float, viewers: int) -> None:
    """What the process of the viewers prints."""
    seen = asyncio.run(watch_all(address, run, seconds, viewers))
    took = sorted(latency for latency, _ in seen)
    sizes = sorted(size for _, size in seen)
    own = time.process_time()
    print(
        json.dumps(
            {
                "p50_ms": 1000 * took[len(took) // 2],
                "p95_ms": 1000 * took[int(0.95 * len(took))],
                "bytes": statistics.median(sizes),
                "most_bytes": sizes[-1],
                "answers": len(seen),
                "client_percent": 100 * own / seconds,
            }
        )
    )


def report(bench: Bench, run: str, viewers: int, rounds: int, seconds: float) -> None:
    """Alternate windows; the medians, and the losses pair by pair."""
    pairs = []
    for number in range(rounds):
        order = (0, viewers) if number % 2 else (viewers, 0)
        pair = {count: bench.window(run, seconds, count) for count in order}
        pairs.append((pair[0], pair[viewers]))

    def median(key: str, at: int = 1) -> float:
        return statistics.median(pair[at][key] for pair in pairs)

    def loss(key: str) -> str:
        losses = [100 * (1 - watched[key] / alone[key]) for alone, watched in pairs]
        return f"{statistics.median(losses):+.1f} % ({min(losses):+.1f} to {max(losses):+.1f})"

    added = median("app_percent") - median("app_percent", 0)
    most = max(pair[1]["most_bytes"] for pair in pairs)
    lines = (
        ("an answer takes", f"{median('p50_ms'):.1f} ms, 95 % within {median('p95_ms'):.1f} ms"),
        ("a tick has", f"{median('bytes'):.0f} bytes on the wire (median), {most:.0f} at most"),
        ("the app uses", f"{median('app_percent'):.1f} % of a core, {added:+.1f} by the viewers"),
        ("... of the machine", f"{added / (os.cpu_count() or 1):.2f} %"),
        ("the viewers' process", f"{median('client_percent'):.1f} % of a core"),
        ("images/s alone", f"{median('images_per_second', 0):.1f}; lost with viewers {loss('images_per_second')}"),
        ("images per CPU second", f"{median('images_per_cpu_second', 0):.1f}; lost {loss('images_per_cpu_second')}"),
    )
    print(f"\n{viewers} viewers, {rounds} pairs of windows of {seconds:g} s, {os.cpu_count()} cores")
    print("\n".join(f"  {name:<22} {text}" for name, text in lines), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        address, run, seconds = arguments.client
        client(address, run, float(seconds), arguments.viewers[0])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            run = bench.wait()
            time.sleep(12)  # the app's own assistants load torch meanwhile
            for viewers in arguments.viewers:
                report(bench, run, viewers, arguments.rounds, arguments.seconds)
        finally:
            bench.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
