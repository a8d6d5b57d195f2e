"""A secret of this user on this machine: what carries its signature was written by a program of theirs."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from fine_tuner.base.cache_folder import cache_folder
from fine_tuner.base.files import exclusive, write_atomically

_BYTES = 32


def sign(what: str, content: bytes) -> str:
    """A signature of ``content`` as ``what``, in hex; see ``is_signed``."""
    return hmac.new(_secret(cache_folder() / "secret"), what.encode() + b"\0" + content, hashlib.sha256).hexdigest()


def is_signed(what: str, content: bytes, signature: object) -> bool:
    """Whether ``signature`` is one that ``sign`` made for this user on this machine; compared in constant time."""
    return isinstance(signature, str) and hmac.compare_digest(sign(what, content).encode(), signature.encode())


@functools.cache
def _secret(path: Path) -> bytes:
    """The secret in ``path``, made if need be. Where it cannot be kept it lasts as long as this process."""
    made = secrets.token_bytes(_BYTES)
    with suppress(OSError), exclusive(path):
        kept = _read(path)
        if kept is not None:
            return kept
        write_atomically(path, made, is_private=True)
    return made


def _read(path: Path) -> bytes | None:
    """What is in the file; None if there is none, or if others could have read or written it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_BYTES + 1)
    except FileNotFoundError:
        return None
    is_private = os.name != "posix" or (not status.st_mode & 0o077 and status.st_uid == os.getuid())
    return content if is_private and len(content) == _BYTES else None
