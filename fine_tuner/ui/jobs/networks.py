"""The list of networks for the picker, without torch: read from a cache that the command line fills.

``python -m fine_tuner list models --task T --json`` knows torchvision; its answer depends on the installed torchvision
only, so it is kept in the cache folder under that version. Whether weights are on this machine is looked up each time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import read_json, write_json
from fine_tuner.base.version import __version__
from fine_tuner.config.tasks import TASK_SPECS, networks_task
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.questions import Questions

LISTS = tuple(dict.fromkeys(map(networks_task, TASK_SPECS)))  # tasks whose networks differ


def checkpoints_folder() -> Path:
    """Where torch keeps downloaded weights; the rule of ``torch.hub.get_dir`` without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


class Networks:
    """Networks on offer by task; asked of the assistant once per version of torchvision."""

    def __init__(self, questions: Questions, folder: Path | None = None) -> None:
        self._questions = questions
        self._folder = folder or cache_folder()
        self._lock = threading.Lock()
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._failed: dict[str, str] = {}
        self._asking: set[str] = set()

    def state(self, task: str) -> dict[str, Any]:
        """``{"state": "ready" | "loading" | "failed", "networks": [...], "message": ...}``; never waits."""
        task = networks_task(task)
        rows = self._known(task)
        if rows is not None:
            return {"state": "ready", "networks": [_with_cached(row) for row in rows], "message": ""}
        with self._lock:
            failure = self._failed.pop(task, "")
            if not failure and task not in self._asking:
                self._asking.add(task)
                threading.Thread(target=self._ask, args=(task,), name=f"networks-{task}", daemon=True).start()
        return {"state": "failed" if failure else "loading", "networks": [], "message": failure}

    def weights_of(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Entries of the weights enum of a network, ``is_cached`` up to date; empty while no list is loaded."""
        for task in LISTS:
            for row in self._known(task) or ():
                if row["name"] == name:
                    return _with_cached(row)["weights"]
        return ()

    def _known(self, task: str) -> list[dict[str, Any]] | None:
        if task not in self._rows:
            stored = read_json(self._path(task))
            if stored and isinstance(stored.get("models"), list):
                self._rows[task] = stored["models"]
        return self._rows.get(task)

    def _ask(self, task: str) -> None:
        answer = self._questions.answer(["list", "models", "--task", task, "--json"])
        if answer.value is not None:
            with suppress(OSError):  # a cache only: without it the next start asks again
                write_json(self._path(task), {"models": answer.value["models"]})
        with self._lock:
            self._asking.discard(task)
            if answer.value is None:
                self._failed[task] = " ".join(answer.errors.values()) or texts.NO_NETWORKS
            else:
                self._rows[task] = list(answer.value["models"])

    def _path(self, task: str) -> Path:
        try:
            installed = version("torchvision")
        except PackageNotFoundError:
            installed = "none"
        return self._folder / f"networks-{task}-{installed}-{__version__}.json"


def _with_cached(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with ``is_cached`` of each entry as it is now, and of the network: whether its default is here."""
    folder = checkpoints_folder()
    weights = [{**entry, "is_cached": (folder / entry["file_name"]).is_file()} for entry in row.get("weights", ())]
    return {**row, "weights": weights, "is_cached": any(entry["is_cached"] for entry in weights)}
