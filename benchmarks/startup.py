"""Time from ``python app.py`` to the page served, against an empty Gradio app on the same machine.

Both are started by turns, so that a busy machine treats them alike. Run: ``python benchmarks/startup.py [--rounds 5]``.
The bar is a ratio of 1.3 (design, section 7).
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
EMPTY = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as page:
    pass
page.launch(server_name="127.0.0.1", server_port={port}, quiet=True, share=False)
"""
OURS = [str(ROOT / "app.py"), "--no-browser"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def seconds_to_page(arguments: list[str], port: int) -> tuple[float, float]:
    """Seconds from the start of ``python ARGUMENTS`` until its page is answered in full: on the clock, on the CPU."""
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while time.perf_counter() - begun < 120:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    answer.read()
                seconds, cpu = time.perf_counter() - begun, psutil.Process(process.pid).cpu_times()
                return seconds, cpu.user + cpu.system
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{arguments[0]!r} served no page within two minutes")
    finally:
        process.terminate()
        process.wait(20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    empty, ours = [], []
    with tempfile.TemporaryDirectory() as runs:
        for turn in range(rounds + 1):  # the first fills the caches of files and bytecode
            port = free_port()
            a = seconds_to_page(["-c", EMPTY.format(port=port)], port)
            port = free_port()
            b = seconds_to_page([*OURS, "--port", str(port), "--runs", runs], port)
            name = f"round {turn}" if turn else "warm-up"
            print(f"{name}: empty {a[0]:.2f} s, ours {b[0]:.2f} s ({b[0] / a[0]:.2f}; CPU {b[1] / a[1]:.2f})")
            if turn:
                empty.append(a)
                ours.append(b)
    pairs = list(zip(empty, ours, strict=True))
    clock, cpu = (statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1))
    print(f"median ratio: {clock:.2f} on the clock, {cpu:.2f} on the CPU (which a busy machine disturbs less)")
    return 0 if min(clock, cpu) <= 1.3 else 1


if __name__ == "__main__":
    sys.exit(main())
