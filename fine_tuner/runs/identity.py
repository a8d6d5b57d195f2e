"""What a new run is called, and where it comes from: id, title, code and library versions, machine."""

from __future__ import annotations

import platform
import re
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fine_tuner.base.pasted_path import cleaned_path
from fine_tuner.base.version import __version__
from fine_tuner.config.io import to_tree
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.config.settings import Settings
from fine_tuner.runs.layout import SCHEMA_VERSION
from fine_tuner.runs.titles import new_in

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without those taken for one another
_LIBRARIES = ("torch", "torchvision", "torchmetrics", "safetensors", "numpy", "pydantic", "gradio", "plotly")
_SPLITS = frozenset({"train", "val", "valid", "test", "images", "data"})


def data_name(path: str) -> str:
    """Short name of a data set: ``"ants"`` for ``/home/me/ants/train``.

    >>> [data_name(p) for p in ("builtin:sample", "/x/ants/train/", "torchvision:CIFAR10", "")]
    ['sample', 'ants', 'CIFAR10', 'data']
    """
    if path == SAMPLE_DATA:
        return "sample"
    if re.match(r"[a-z]+:[^/\\]", path):
        return path.partition(":")[2]
    parts = [part for part in Path(cleaned_path(path)).parts if part.strip("/\\.")]
    while len(parts) > 1 and parts[-1].casefold() in _SPLITS:
        parts.pop()
    return Path(parts[-1]).stem if parts else "data"


def make_id(settings: Settings) -> str:
    """``20261123-141502-resnet18-ants-k3f9``: sorts by time, tells what it is, and does not meet another."""
    words = [_slug(settings.model.name), _slug(data_name(settings.data.path))]
    random = "".join(secrets.choice(_LETTERS) for _ in range(4))
    return "-".join([time.strftime("%Y%m%d-%H%M%S"), *(word for word in words if word), random])


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.casefold()).strip("-")[:24].rstrip("-")


def make_title(settings: Settings, before: Mapping[str, Any] | None = None) -> str:
    """The user's title, or data and network, and what is new since the run of the settings ``before``."""
    if title := settings.title.strip():
        return title
    new = new_in(to_tree(settings), before) if before else ""
    return f"{data_name(settings.data.path)} {settings.model.name}" + (f" \u00b7 {new}" if new else "")


def make_info(
    run_id: str,
    settings: Settings,
    argv: Sequence[str],
    parent: str | None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of run.json; ``before`` are the settings of the run that it follows, if it follows one."""
    return {
        "v": SCHEMA_VERSION,
        "id": run_id,
        "title": make_title(settings, before),
        "created": round(time.time(), 3),
        "parent": parent,
        "argv": list(argv),
        "task": settings.task,
        "model": settings.model.name,
        "data": data_name(settings.data.path),
        "device": settings.devices,
        "git": git_commit(),
        "versions": versions(),
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "host": platform.node(),
            "python": platform.python_version(),
        },
    }


def versions() -> dict[str, str]:
    """Version of this package and of the libraries that decide the outcome; absent ones are left out."""
    found = {"fine_tuner": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of the checkout that the code runs from, ``-dirty`` if changed; None for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
