"""Runs the check of a user's loss in a short-lived child process with limits; whatever happens there ends as a report.

No torch here: the page calls this. It protects the app from accidents (an endless loop, ``os._exit``, a crash, memory
without end, floods of text, threads and processes left behind), not from malice: the code runs with the user's rights.
Who may run code at all is decided before this is called.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from fine_tuner.base.files import read_json, write_json
from fine_tuner.losses.check.spent import Spent
from fine_tuner.losses.code import LossCode, LossCodeError, LossFinding, read_code

POLL_SECONDS = 0.05
GRACE_SECONDS = 1.0
TELLING_SECONDS = 2.0
TELL_LINE = signal.SIGUSR1
"""Asks the child to write its stacks into ``crash.txt``."""
MIB = 2**20
PRINTED_CHARACTERS = 2000
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "TORCH_HOME")
KEPT_PREFIXES = ("FINE_TUNER_", "OMP_", "MKL_")
EXITS = ("os._exit", "sys.exit", "exit", "quit", "os.abort", "os.kill")


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxLimits:
    """What a check may use.

    Attributes:
        seconds: At work for the user's code, from reading the file to the report; see ``spent.py``.
        passed_seconds: The same on the wall: for code that waits.
        setup_seconds: For loading torch, the data and the network before that.
        memory_mib: Beyond what torch, data and network use.
        file_mib: Size of any one file, printed text included.
        processes: How many the user's code may have running.
    """

    seconds: float = 20.0
    passed_seconds: float = 120.0
    setup_seconds: float = 120.0
    memory_mib: int = 4096
    file_mib: int = 16
    processes: int = 16


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a child ended: of itself (``""``), or why it was ended; ``code`` as ``Popen.returncode``."""

    why: str
    code: int
    stage: str
    is_user: bool


def run_check(
    file: str | Path,
    *,
    task: str,
    entry: str = "",
    given: Mapping[str, str] = MappingProxyType({}),
    num_outputs: int | None = None,
    ignore_index: int = 255,
    device: str = "cpu",
    provider: str = "",
    arguments: Mapping[str, Any] | None = None,
    limits: SandboxLimits | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Check a user's loss in a child process.

    Args:
        file: The user's Python file.
        task: One of the four tasks.
        entry: Name of function or class; empty takes the only one.
        given: ``inputs``, ``arguments`` and ``ignored`` of ``check_loss``, where they are not the defaults.
        num_outputs: Classes, labels or numbers of the synthetic batch.
        ignore_index: Target of pixels that do not count.
        device: Where the loss runs.
        provider: ``"module:function"`` that the child calls with ``arguments`` for the user's own data and network; it
            returns a ``losses.check.batch.CheckBatch``. Empty: a small synthetic batch.
        arguments: JSON values.
        limits: What the check may use.
        should_stop: Asked 20 times a second; True ends the check.
        on_stage: Told, as often, what the child is at.

    Returns:
        The report of ``check_loss``; where the child did not come to one, a report with ``ok`` False and the finding
        that says why. ``printed`` is the text that the code printed. Never raises for what the user's code does.
    """
    began = time.monotonic()
    limits = limits or SandboxLimits()
    report: dict[str, Any] = {
        "ok": False,
        "file": str(file),
        "entry": entry,
        "task": task,
        "findings": [],
        "printed": "",
    }
    try:
        code = read_code(file)
    except LossCodeError as error:
        return report | {"findings": [error.finding.to_json()], "seconds": 0.0}
    report |= {"file": str(code.path), "sha256": code.sha256}
    with tempfile.TemporaryDirectory(prefix="fine-tuner-check-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        (folder / "work").mkdir()
        request = {
            "file": str(code.path), "entry": entry, "task": task, "num_outputs": num_outputs, "device": device,
            "given": dict(given), "ignore_index": ignore_index, "provider": provider,
            "arguments": dict(arguments or {}), "seconds": limits.seconds, "passed_seconds": limits.passed_seconds,
            "memory_mib": limits.memory_mib, "file_mib": limits.file_mib,
        }  # fmt: skip
        write_json(folder / "request.json", request)

        def tick() -> bool:
            on_stage(_told(folder / "stage.json").get("stage", "starting"))
            return should_stop()

        ending = _run(folder, limits, device, tick)
        report |= _outcome(folder, code, ending, limits)
        report["printed"] = _read(folder / "printed.txt")[:PRINTED_CHARACTERS]
    if report["printed"].strip():
        report["findings"].append(_prints(code, report["printed"]).to_json())
    return report | {"seconds": time.monotonic() - began}


# ------------------------------------------------------------------- the child
def _run(folder: Path, limits: SandboxLimits, device: str, should_stop: Callable[[], bool]) -> _Ending:
    """Start the child, watch it, and leave nothing of it running."""
    with (folder / "child.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fine_tuner.losses.check.child", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=_environment(device),
            start_new_session=True,
        )  # fmt: skip
    descendants: set[psutil.Process] = set()
    try:
        why = _watch(process.pid, folder, limits, should_stop, descendants)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        for descendant in descendants:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
        code = process.wait()
    stage = _told(folder / "stage.json")
    return _Ending(why, code, stage.get("stage", "starting"), bool(stage.get("is_user")))


def _watch(
    pid: int, folder: Path, limits: SandboxLimits, should_stop: Callable[[], bool], descendants: set[psutil.Process]
) -> str:
    """Wait until the child ends or must be ended; the reason in the latter case."""
    child = psutil.Process(pid)
    began, user_began, baseline, before = time.monotonic(), None, 0, 0.0
    while not _has_ended(child):
        time.sleep(POLL_SECONDS)
        if should_stop():
            return "stopped"
        descendants.update(_children(child))
        used = _resident_bytes([child, *descendants])
        if user_began is None:
            baseline = used
            user_began = time.monotonic() if _told(folder / "stage.json").get("is_user") else None
            before = _processor_seconds(child, descendants)
            if user_began is None and time.monotonic() - began > limits.setup_seconds:
                return "setup_time"
            continue
        if used - baseline > limits.memory_mib * MIB:
            return "memory"
        if len([d for d in descendants if d.is_running()]) > limits.processes:
            return "processes"
        spent = Spent.of(_processor_seconds(child, descendants) - before, time.monotonic() - user_began)
        if spent.working > limits.seconds + GRACE_SECONDS:
            return _having_told_its_line(pid, folder, "time")
        if spent.passed > limits.passed_seconds + GRACE_SECONDS:
            return _having_told_its_line(pid, folder, "waiting")
    return ""


def _having_told_its_line(pid: int, folder: Path, why: str) -> str:
    """``why``, after the child had a moment to write where in the code it is."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, TELL_LINE)
        until = time.monotonic() + TELLING_SECONDS
        while time.monotonic() < until and not _read(folder / "crash.txt").endswith("\n"):
            time.sleep(POLL_SECONDS)
    return why


def _processor_seconds(child: psutil.Process, descendants: set[psutil.Process]) -> float:
    """Of a process with what it has started: those that live, and those that it has waited for."""
    total = 0.0
    with suppress(psutil.Error):
        total += sum(child.cpu_times()[:4])  # user and system, its own and that of ended children
    for process in descendants:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


def _has_ended(child: psutil.Process) -> bool:
    """Whether the child is over; it stays a zombie, so that its number is not given to another process."""
    try:
        return child.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _resident_bytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _environment(device: str) -> dict[str, str]:
    """What the child sees of the environment: no tokens, no keys, nothing of the app's."""
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(KEPT_PREFIXES)}
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])
    kept["PYTHONDONTWRITEBYTECODE"] = "1"
    if not device.startswith("cuda"):
        kept["CUDA_VISIBLE_DEVICES"] = ""
    elif "CUDA_VISIBLE_DEVICES" in os.environ:
        kept["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
    return kept


# ------------------------------------------------------------------ what came of it
def _outcome(folder: Path, code: LossCode, ending: _Ending, limits: SandboxLimits) -> dict[str, Any]:
    report = _told(folder / "report.json") if not ending.why else {}
    if "setup_error" in report:
        what = f"the data or the network of the check cannot be had: {report['setup_error']}"
        return {"findings": [code.finding("error", "setup", what, "Correct the settings, then check again.").to_json()]}
    if "findings" in report:
        return report
    if not ending.is_user and ending.why != "stopped":
        return {"findings": [_setup_failed(folder, code, ending, limits).to_json()]}
    return {"findings": [_ended(folder, code, ending, limits).to_json()]}


def _setup_failed(folder: Path, code: LossCode, ending: _Ending, limits: SandboxLimits) -> LossFinding:
    last = (_read(folder / "child.log").strip().splitlines() or ["no message"])[-1]
    what = f"the check did not come to the loss: it ended while {ending.stage} ({last})"
    if ending.why == "setup_time":
        what = f"the check did not come to the loss: {ending.stage} took more than {limits.setup_seconds:g} s"
    return code.finding("error", "setup", what, "Look at the data and the network, then check again.")


def _ended(folder: Path, code: LossCode, ending: _Ending, limits: SandboxLimits) -> LossFinding:
    """The finding for a child that ended, or had to be ended, inside the user's code."""
    line = _line_in_stack(_read(folder / "crash.txt"), code)
    at = f"while {ending.stage}"
    if ending.why == "time":
        what, remedy = f"the code did not end within {limits.seconds:g} s {at}", "Look for a loop without an end."
        return code.finding("error", "time", what, remedy, line)
    if ending.why == "waiting":
        what = f"the code did not end within {limits.passed_seconds:g} s {at}, most of it waiting"
        return code.finding("error", "time", what, "Look for a sleep, a lock or a download.", line)
    if ending.why == "memory":
        what = f"the code used more than {limits.memory_mib:,} MiB of memory {at}"
        return code.finding("error", "memory", what, "Build smaller tensors.", line)
    if ending.why == "processes":
        what = f"the code started more than {limits.processes} processes"
        return code.finding("error", "processes", what, "Compute in the calling process.", line)
    if ending.why == "stopped":
        return code.finding("error", "stopped", "the check was stopped", "Press Check to run it again.")
    exits = code.calls(*EXITS)
    line = line or (exits[0] if exits else None)
    if ending.code < 0:
        name = signal.Signals(-ending.code).name
        meaning = {"SIGSEGV": ", a crash in native code", "SIGKILL": ", usually for lack of memory"}.get(name, "")
        what = f"the process was ended by {name}{meaning}, {at}"
        return code.finding("error", "crash", what, "Look at this line and at what it calls.", line)
    what = f"the code ended the process with exit code {ending.code}, {at}"
    return code.finding("error", "exits", what, "Remove the exit; raise an error instead.", line)


def _line_in_stack(stack: str, code: LossCode) -> int | None:
    """The innermost line of the user's file in what faulthandler wrote."""
    found = re.search(rf'File "{re.escape(str(code.path))}", line (\d+)', stack)
    return int(found[1]) if found else None


def _prints(code: LossCode, printed: str) -> LossFinding:
    text = printed.strip().splitlines()[0][:80]
    lines = code.calls("print")
    remedy = "Remove it: a run would print at every step."
    return code.finding("note", "prints", f"the code prints ({text!r})", remedy, lines[0] if lines else None)


def _read(path: Path, limit: int = 100_000) -> str:
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return file.read(limit)
    return ""


def _told(path: Path) -> dict[str, Any]:
    """What the child wrote last; {} before it wrote."""
    return read_json(path) or {}
