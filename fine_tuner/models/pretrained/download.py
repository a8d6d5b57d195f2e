"""Release weights, from torch's cache or downloaded into it by torch.hub's code: whole and checked, or not at all."""

from __future__ import annotations

import errno
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import torch
from torchvision.models import WeightsEnum

from fine_tuner.base.errors import WeightsError
from fine_tuner.base.progress import OnProgress
from fine_tuner.models.catalogue import cache_file

_HASH = re.compile(r"-([a-f0-9]*)\.")  # Source: torch/hub.py, HASH_REGEX
_SILENCE_SECONDS = 30  # a connection that says nothing for so long is dead
_REPORT_SECONDS = 0.2
_MIB = 1 << 20
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def fetch(entry: WeightsEnum, progress: OnProgress | None = None) -> Path:
    """The file of ``entry`` in torch's cache, downloaded if it is not there.

    Args:
        entry: Weights of torchvision.
        progress: Called with what is done, MiB done and MiB in all; an exception in it ends the download.

    Raises:
        WeightsError: If it cannot be downloaded; the message names the file, where to put it, and the other ways on.
        OSError: If the disk is full.
    """
    label = f"{type(entry).__name__}.{entry.name}"
    return download(entry.url, cache_file(entry), size_mib=entry.meta["_file_size"], label=label, progress=progress)


def download(url: str, target: Path, *, size_mib: float, label: str, progress: OnProgress | None = None) -> Path:
    """Make ``target`` hold what is at ``url``; see ``fetch``."""
    if target.is_file():
        return target
    match = _HASH.search(target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _run(
            url,
            target,
            match[1] if match else None,
            lambda done: progress and progress(f"Downloading {target.name} (MiB)", done, size_mib),
        )
    except (OSError, RuntimeError) as error:  # torch.hub reports another hash as RuntimeError
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            raise WeightsError(_folder_message(label, target, error)) from None
        raise WeightsError(_message(label, url, target, size_mib, _reason(error))) from None
    return target


def _run(url: str, target: Path, sha256_prefix: str | None, report: Callable[[float], object]) -> None:
    """Download in another thread, so that ``report`` is called, and may raise, in this one."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            torch.hub.download_url_to_file(url, str(target), sha256_prefix, progress=False)
        except BaseException as error:
            errors.append(error)

    before = set(_partial(target))
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_SECONDS)
    thread = threading.Thread(target=work, name="download", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_REPORT_SECONDS)
            report(_done_mib(target, before))
    except BaseException:
        for path in set(_partial(target)) - before:
            path.unlink(missing_ok=True)
        raise
    finally:
        socket.setdefaulttimeout(timeout)
    if errors:
        raise errors[0]


def _partial(target: Path) -> list[Path]:
    """Where torch.hub writes before it renames."""
    return list(target.parent.glob(f"{target.name}.*.partial"))


def _done_mib(target: Path, before: set[Path]) -> float:
    with suppress(OSError):
        for path in [target, *(p for p in _partial(target) if p not in before)]:
            if path.exists():
                return round(path.stat().st_size / _MIB, 1)
    return 0.0


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        error.close()  # it is the server's answer, with its connection
        return f"the server answered {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__


def _folder_message(label: str, target: Path, error: OSError) -> str:
    return (
        f"The weights {label} cannot be written to {target.parent} ({error.strerror}). Name a folder that can be "
        "written in the environment variable TORCH_HOME; or take weights from a file (model.weights=path/to/file.pth); "
        "or start without pretrained weights (model.weights=none)."
    )


def _message(label: str, url: str, target: Path, size_mib: float, reason: str) -> str:
    return (
        f"The weights {label} are not on this machine, and {url} could not be downloaded ({reason}). Either download "
        f"{target.name} ({size_mib:.0f} MiB) where there is a network and put it at {target}; or take weights from a "
        "file (model.weights=path/to/file.pth); or start without pretrained weights (model.weights=none)."
    )
