"""``python -m fine_tuner.losses.check.child FOLDER``: the process in which a user's loss is checked.

Started by ``sandbox.py`` with a scrubbed environment. The folder holds ``request.json``; the child writes
``stage.json`` (what it is doing), ``crash.txt`` (stacks at a crash or when ``SIGUSR1`` asks for them), ``printed.txt``
and, last, ``report.json``.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from fine_tuner.base.errors import FineTunerError
from fine_tuner.base.files import write_json

MIB = 2**20


def main(folder: Path) -> None:
    """Answer the request in ``folder``. Never returns: threads and exit handlers of the user's code end here."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    crash = (folder / "crash.txt").open("w")
    faulthandler.enable(crash)
    write_json(folder / "stage.json", {"stage": "loading torch", "is_user": False})
    from fine_tuner.losses.check.batch import prepare
    from fine_tuner.losses.check.check import check_loss

    write_json(folder / "stage.json", {"stage": "reading data and network", "is_user": False})
    try:
        prepared = prepare(_batch(request), request["device"])
    except (FineTunerError, ImportError, AttributeError, OSError, RuntimeError, ValueError) as error:
        write_json(folder / "report.json", {"setup_error": str(error) or type(error).__name__})
        os._exit(0)
    _confine(folder, request)
    faulthandler.register(signal.SIGUSR1, file=crash)

    def on_stage(stage: str) -> None:
        write_json(folder / "stage.json", {"stage": stage, "is_user": True})

    limits = {name: request[name] for name in ("seconds", "passed_seconds")}
    about = {**limits, "on_stage": on_stage, **request["given"]}
    report = check_loss(request["file"], request["entry"], prepared, **about)
    write_json(folder / "report.json", report)
    os._exit(0)


def _batch(request: dict[str, Any]) -> Any:
    """The batch that the named provider gives, or a synthetic one."""
    if not request["provider"]:
        from fine_tuner.losses.check.batch import synthetic  # torch is loaded once the stage says so

        return synthetic(request["task"], request["num_outputs"], request["ignore_index"])
    module, _, function = request["provider"].partition(":")
    return getattr(importlib.import_module(module), function)(**request["arguments"])


def _confine(folder: Path, request: dict[str, Any]) -> None:
    """Give the user's code its own folder and output, and limits for memory and files."""
    work = folder / "work"
    os.chdir(work)
    os.environ["HOME"] = os.environ["TMPDIR"] = str(work)
    printed = os.open(folder / "printed.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(printed, stream.fileno())
        stream.reconfigure(line_buffering=True)  # what was printed must be there however the process ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_mib"] * MIB,) * 2)
    if request["device"] == "cpu" and Path("/proc/self/statm").exists():  # CUDA reserves far more than it uses
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + request["memory_mib"] * MIB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
