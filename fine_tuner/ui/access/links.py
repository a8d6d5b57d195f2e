"""Links with tokens, the sessions they open, and the private file that keeps both over restarts.

An app has at most one link for each role. Making a new one, revoking it or its expiry ends every session that the old
one opened, since a session names its link. Sessions themselves are nowhere kept: a signed cookie says it all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from itsdangerous import BadSignature, Signer

from fine_tuner.base.files import exclusive, write_atomically

Role = Literal["owner", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)
LINK_SECONDS = 7 * 24 * 3600  # as long as Gradio's tunnel lives at most
SESSION_SECONDS = 7 * 24 * 3600
_FILE = Path(".access") / "links.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What opens the page to a role.

    Attributes:
        role: Who comes in by it.
        id: Names it in the cookies of its sessions; not secret.
        token: 256 random bits.
        created: Unix time.
        expires: Unix time; None: when it is revoked.
    """

    role: Role
    id: str
    token: str
    created: float
    expires: float | None

    def is_valid(self, now: float) -> bool:
        """Whether it still opens anything."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a valid cookie says: one browser that came by a link.

    Attributes:
        id: Random; tells visitors apart, for limits and for the count of who is watching.
    """

    id: str
    role: Role


class Links:
    """The links of one app; safe to use from several threads.

    Args:
        folder: Folder of runs, below which they are kept in ``.access/links.json`` (0600 in 0700), or None to forget
            them at the end.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = None if folder is None else folder / _FILE
        self._lock = threading.Lock()
        saved = {} if self._path is None else _read(self._path)
        self._secret = bytes.fromhex(saved.get("secret", "")) or secrets.token_bytes(32)
        self._signer = Signer(self._secret, salt="session", digest_method=hashlib.sha256)
        self._links: dict[str, Link] = {link.role: link for link in saved.get("links", ())}

    @property
    def cookie_name(self) -> str:
        """Another for every folder of runs: cookies do not tell ports of one host apart."""
        return f"fine_tuner_{hashlib.sha256(b'name' + self._secret).hexdigest()[:10]}"

    def get(self, role: Role, *, now: float | None = None) -> Link | None:
        """The link of a role, unless there is none or it has expired."""
        link = self._links.get(role)
        return link if link is not None and link.is_valid(time.time() if now is None else now) else None

    def make(self, role: Role, seconds: float | None = LINK_SECONDS) -> Link:
        """A new link in place of the old one, whose sessions end; ``seconds`` None: valid until revoked."""
        now = time.time()
        expires = None if seconds is None else now + seconds
        link = Link(role=role, id=secrets.token_hex(6), token=new_token(), created=now, expires=expires)
        with self._changing():
            self._links[role] = link
        return link

    def extend(self, role: Role, seconds: float | None) -> Link | None:
        """Another expiry, from now on, for the link there is; its sessions stay."""
        with self._changing():
            link = self.get(role)
            if link is not None:
                link = replace(link, expires=None if seconds is None else time.time() + seconds)
                self._links[role] = link
        return link

    def revoke(self, role: Role) -> None:
        """Close the link and end its sessions."""
        with self._changing():
            self._links.pop(role, None)

    def of_token(self, token: str) -> Link | None:
        """The link with this token; all are compared, in constant time."""
        found = None
        for role in ROLES:
            link = self.get(role)
            if link is not None and hmac.compare_digest(token.encode(), link.token.encode()):
                found = link
        return found

    # -------------------------------------------------------------- sessions
    def open_session(self, link: Link, *, now: float | None = None) -> tuple[str, int]:
        """A new session: its cookie ``role.link.session.expiry.signature``, and how many seconds it lasts."""
        now = time.time() if now is None else now
        seconds = SESSION_SECONDS if link.expires is None else min(SESSION_SECONDS, max(0, link.expires - now))
        body = f"{link.role}.{link.id}.{secrets.token_hex(8)}.{int(now + seconds)}"
        return self._signer.sign(body).decode(), int(seconds)

    def read_session(self, cookie: str) -> Session | None:
        """The session of a cookie; None if it was forged, has expired, or its link is gone."""
        try:
            body = self._signer.unsign(cookie).decode()
        except BadSignature:
            return None
        if self._signer.sign(body).decode() != cookie:  # base64: two bits of the last letter say nothing
            return None
        role, link_id, session_id, expiry = body.split(".")  # we wrote it: the signature is ours
        link = self.get(role)  # type: ignore[arg-type]
        if link is None or link.id != link_id or int(expiry) <= time.time():
            return None
        return Session(id=session_id, role=link.role)

    # -------------------------------------------------------------- on disk
    def keep(self) -> None:
        """Write the file even though nothing changed, so that a restart knows this app's sessions."""
        with self._changing():
            pass

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the links as they are on disk by now: apps on one folder of runs share them.

        Best effort on disk: what cannot be kept privately is not kept, and a restart asks everybody to come in anew.
        """
        with self._lock:
            if self._path is None:
                yield
                return
            has_changed = False
            try:
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                self._path.parent.chmod(0o700)
                with exclusive(self._path):
                    saved = _read(self._path)
                    if saved.get("secret") == self._secret.hex():  # else another app began anew: ours hold for us
                        self._links = {link.role: link for link in saved["links"]}
                    has_changed = True
                    yield
                    data = {"secret": self._secret.hex(), "links": [asdict(link) for link in self._links.values()]}
                    write_atomically(self._path, json.dumps(data), is_private=True)
            except OSError:
                if not has_changed:
                    yield


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def _read(path: Path) -> dict[str, Any]:
    """Secret and links of the file; {} if there is none, it is broken, or others could have read or written it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.getuid()):
                return {}
            saved = json.loads(file.read(1 << 16))
        links = [_link(entry) for entry in saved["links"]]
        return {"secret": bytes.fromhex(saved["secret"]).hex(), "links": links} if len(saved["secret"]) == 64 else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _link(entry: Mapping[str, Any]) -> Link:
    link = Link(**entry)
    if link.role not in ROLES or len(link.token) < 22 or not isinstance(link.expires, float | int | None):
        raise ValueError("not a link")
    return link
