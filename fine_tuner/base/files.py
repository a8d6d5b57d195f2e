"""How files that are not appended are written and read: whole or not at all, and strict JSON."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

MAX_JSON_BYTES = 16 << 20
UMASK_VARIABLE = "FINE_TUNER_UMASK"
"""An octal number such as 027, for those who share their folder of runs with a group."""


def keep_private() -> None:
    """What this process and its children write is for this user alone, unless the environment says otherwise."""
    given = os.environ.get(UMASK_VARIABLE, "")
    os.umask(int(given, 8) & 0o777 if given and set(given) <= set("01234567") else 0o077)


@contextmanager
def replacing(path: Path, *, is_durable: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; the file takes that name, on disk, when the block ends.

    A reader, or a power cut, sees the old content or the new, never a part. After an exception in the block the old
    content stays and nothing is left behind. What may be lost, a cache, need not wait for the disk: ``is_durable``.

    Raises:
        OSError: As the file system says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if is_durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the right to read, change and write ``path`` again, against every process and thread that asks for it.

    Whoever changes a part of a file that others change too does it in here, or one of the changes is lost. The lock is
    on a file beside it: ``path`` itself is replaced by each writing.

    Raises:
        OSError: If the lock's file cannot be made (read-only folder).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes | str, *, is_private: bool = False, is_durable: bool = True) -> None:
    """Write a file in one piece; see ``replacing``.

    Args:
        path: Its folder is made if need be.
        data: Text is written as UTF-8.
        is_private: Only this user may read the file.
        is_durable: It survives a power cut once this returns.

    Raises:
        OSError: As the file system says; PermissionError if it cannot keep a private file private.
    """
    with replacing(path, is_durable=is_durable) as temporary:
        mode = 0o600 if is_private else 0o666
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if is_private and os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise PermissionError(f"{path} cannot be kept from other users on this file system")
            file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def making_folder(folder: Path, *, is_whole: Callable[[Path], bool] = Path.is_dir) -> Iterator[Path]:
    """A draft beside ``folder`` to fill; it takes that name when the block ends, unless another process was first.

    Args:
        folder: Does not exist, or is a torn one.
        is_whole: Whether what another process made under that name can be used as it is.

    Raises:
        OSError: As the file system says; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        try:
            draft.rename(folder)
        except OSError:
            if not is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make renames inside ``path`` durable, where the file system allows."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def strict(value: Any) -> Any:
    """``value`` with non-finite numbers as strings, so that any JSON reader can read it.

    >>> strict({"a": float("nan"), "b": (1, float("-inf"))})
    {'a': 'NaN', 'b': [1, '-Infinity']}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    return value


def write_json(path: Path, value: Any, *, indent: int = 2, is_durable: bool = True) -> None:
    """Write strict JSON in one piece; see ``write_atomically``.

    Raises:
        OSError: As the file system says.
        ValueError: If a number is not finite; see ``strict``.
    """
    write_atomically(path, json.dumps(value, indent=indent, allow_nan=False) + "\n", is_durable=is_durable)


def open_plain(path: Path, *, append: bool = False) -> BinaryIO:
    """A plain file, to be read, or made where there is none and appended to without a buffer.

    Whoever puts a folder among the runs may put a pipe in it, for which ``open`` would wait without end.

    Raises:
        FileNotFoundError: If there is none; also for a folder, a pipe or a device in its place.
        OSError: As the file system says.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT if append else os.O_RDONLY
    handle = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.EINVAL, "is no plain file", str(path))
    return cast(BinaryIO, os.fdopen(handle, "ab", buffering=0) if append else os.fdopen(handle, "rb"))


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The content of a plain file that is not larger than it should be.

    Raises:
        OSError: As the file system says; also for a folder or a pipe, and for a file of more than ``max_bytes``.
    """
    with open_plain(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"has more than {max_bytes:,} bytes", str(path))
    return content


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing, not (yet) whole, or larger than MAX_JSON_BYTES."""
    try:
        value = json.loads(read_bounded(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def change_json(path: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Replace the object in a JSON file by what ``change`` makes of it; {} where there is none. Nobody comes between.

    Raises:
        OSError: As the file system says.
    """
    with exclusive(path):
        write_json(path, change(read_json(path) or {}))
