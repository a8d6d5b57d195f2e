"""How requests become roles: the links of this app, and where a login is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from fine_tuner.base.errors import InputError
from fine_tuner.ui.access.links import LINK_SECONDS, ROLES, Links, Session
from fine_tuner.ui.access.peer import Address, Whose, whose

LINK_HOURS = LINK_SECONDS / 3600
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(kw_only=True)
class Access:
    """How requests become roles.

    Attributes:
        links: Tokens and sessions.
        is_private: Whoever reaches the app is the owner, except through ``shared_ports``; right on the loopback
            address only.
        whose: Tells whose process a connection comes from, from its two ends; None: not asked, it is ours.
        shared_ports: Local ports where a login is needed all the same: what a tunnel leads to.
        origin: ``scheme://host`` under which a proxy shows the app, from ``--root-path``; "" if none was given.
        prefix: Path under which a proxy shows the app, without the last slash.
        on_stranger: Called when a process of another user asked for the page of a private app.
    """

    links: Links = field(default_factory=Links)
    is_private: bool = True
    whose: Callable[[Address | None, Address | None], Whose] | None = None
    shared_ports: set[int] = field(default_factory=set)
    origin: str = ""
    prefix: str = ""
    on_stranger: Callable[[], object] | None = None

    def is_open(self, scope: Scope) -> bool:
        """Whether a request came in where there is no login."""
        return self.is_private and (scope.get("server") or ("", 0))[1] not in self.shared_ports

    def session(self, headers: Headers) -> Session | None:
        """The session of a request's cookie."""
        cookie = cookie_parser(headers.get("cookie", "")).get(self.links.cookie_name, "")
        return self.links.read_session(cookie)


def split_root_path(text: str) -> tuple[str, str]:
    """Origin and path of ``--root-path``: ``https://example.org/tuner/`` -> ``("https://example.org", "/tuner")``.

    Raises:
        InputError: If it is neither a path nor an address.
    """
    parts = urlsplit(text)
    is_address = parts.scheme in ("http", "https") and bool(parts.netloc)
    is_path = not parts.scheme and not parts.netloc and (not text or text.startswith("/"))
    if not (is_address or is_path) or parts.query or parts.fragment:
        raise InputError(
            f"--root-path {text!r} is neither a path nor an address. Give /tuner, or https://example.org/tuner."
        )
    return (f"{parts.scheme}://{parts.netloc}" if is_address else ""), parts.path.rstrip("/")


def check_entry(root_path: str, link_hours: float) -> tuple[str, str]:
    """Origin and prefix of ``root_path``.

    Raises:
        InputError: If it is neither a path nor an address, or links would not end within a year.
    """
    if not 0 < link_hours <= 24 * 366:
        raise InputError(f"--link-hours {link_hours:g} is not between 0 and a year. Give 168 for a week.")
    return split_root_path(root_path)


def open_links(runs: Path, *, is_private: bool, link_hours: float = LINK_HOURS, new_links: bool = False) -> Links:
    """The links of the last time, and new ones for what is missing; the owner of a private app needs none."""
    links = Links(runs)
    for role in ROLES:
        if new_links or (is_private and role == "owner"):
            links.revoke(role)
    if not is_private:
        for role in ROLES:
            if links.get(role) is None:
                links.make(role, link_hours * 3600)
    return links


def open_access(
    runs: Path, *, is_private: bool, root_path: str = "", link_hours: float = LINK_HOURS, new_links: bool = False
) -> Access:
    """Who may come in, with the links kept below ``runs``.

    Args:
        runs: Folder of runs.
        is_private: Whoever reaches the app is the owner.
        root_path: Path or address under which a proxy shows the app.
        link_hours: How long new links hold.
        new_links: All earlier ones end.

    Raises:
        InputError: As ``check_entry``.
    """
    origin, prefix = check_entry(root_path, link_hours)
    links = open_links(runs, is_private=is_private, link_hours=link_hours, new_links=new_links)
    return Access(links=links, is_private=is_private, whose=whose, origin=origin, prefix=prefix)


def bracketed(host: str) -> str:
    """A host as addresses write it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
