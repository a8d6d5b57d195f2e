"""Sharing: the links of both roles, where they lead to, what is published, who is watching.

====================================  ====================================================================
``GET api/share``                     everything that the Share tab shows
``POST api/share/start``              a viewer's link, the way in for it, and a tunnel
``POST api/share/stop``               close all of it
``POST api/share/tunnel``             try the tunnel again
``POST api/share/links/ROLE``         a new link in place of the old one, whose sessions end
``POST api/share/links/ROLE/revoke``  no link
``POST api/share/runs/ID``            publish a run or its model, or no longer
====================================  ====================================================================
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import segno
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from fine_tuner.base.errors import RunError
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.publishing import Published, publish, published
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.access import texts
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.limits import VisitorLimits, Watching
from fine_tuner.ui.access.links import LINK_SECONDS, ROLES, Link, Role
from fine_tuner.ui.access.tunnel import Tunnel, TunnelState

EXPIRIES = (3600, 24 * 3600, LINK_SECONDS, 30 * 24 * 3600, None)
Expiry = Annotated[float | None, Field(ge=60, le=366 * 24 * 3600)]


class Door(Protocol):
    """A second port that needs a login."""

    def bind(self) -> socket.socket:
        """A listening socket."""

    def open(self, listener: socket.socket) -> None:
        """Serve there."""

    def close(self) -> None:
        """Stop to."""


class LinkRequest(BaseModel):
    """How long a link is to be valid, in seconds; None: until it is revoked."""

    model_config = ConfigDict(extra="forbid")
    seconds: Expiry = LINK_SECONDS


class Show(BaseModel):
    """What to show of a run."""

    model_config = ConfigDict(extra="forbid")
    run: bool
    model: bool = False


class Sharing:
    """Who may come in, the ways in for others, how much they may ask for, and who is watching.

    Args:
        access: Links, and which ports need a login; None: everybody who reaches the app, for the loopback address.
        tunnel: The way to a public address; None: Gradio's.
        limits: How much viewers may ask for.
    """

    def __init__(
        self, access: Access | None = None, *, tunnel: Tunnel | None = None, limits: VisitorLimits | None = None
    ) -> None:
        self.access = access or Access()
        self.tunnel = tunnel or Tunnel()
        self.limits = limits or VisitorLimits()
        self.watching = Watching()
        self.door: Door | None = None  # given by the server, once there is one
        self.port = 0  # where the app listens
        self.host = "127.0.0.1"
        self._shared_port = 0
        self._lock = threading.Lock()

    def start(self, seconds: float | None, *, then: Callable[[TunnelState], object] | None = None) -> None:
        """Make a viewer's link unless there is one, open the way in for it, and a tunnel."""
        with self._lock:
            if self.access.links.get("viewer") is None:
                self.access.links.make("viewer", seconds)
            if self.access.is_private and self.door is not None and not self._shared_port:
                listener = self.door.bind()
                self._shared_port = listener.getsockname()[1]
                self.access.shared_ports.add(self._shared_port)  # before anything can come in there
                self.door.open(listener)
        if self.way_in:
            self.tunnel.open(self.way_in, then=then)

    def stop(self) -> None:
        """Close the tunnel and the way in, revoke the viewer's link. The owner's stays: it is how they came in."""
        self.tunnel.close()
        self.access.links.revoke("viewer")
        with self._lock:
            if self.door is not None and self._shared_port:
                self.door.close()
            self._shared_port = 0  # stays among the shared ports: what still listens there needs a login

    @property
    def way_in(self) -> int:
        """The local port that a tunnel or a proxy may lead to: everyone needs a login there; 0 if there is none."""
        return self._shared_port if self.access.is_private else self.port

    def addresses(self) -> list[str]:
        """Where the way in is, the farthest reaching first."""
        public = [self.tunnel.state.address] if self.tunnel.state.address else []
        proxy = [f"{self.access.origin}{self.access.prefix}"] if self.access.origin else []
        here = f"http://{_bracketed(self.host)}:{self.way_in}{self.access.prefix}"
        return [*public, *proxy, *([here] if self.way_in else [])]

    def link_text(self, link: Link, address: str) -> str:
        """What a person opens."""
        return f"{address}/login?token={link.token}"

    def close(self) -> None:
        """At the end of the app."""
        self.tunnel.close()


class ShareRoutes:
    """The owner's routes for sharing."""

    def __init__(self, sharing: Sharing, store: RunStore) -> None:
        self._sharing = sharing
        self._links = sharing.access.links
        self._store = store

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/share")
        router.get("")(self.state)
        router.post("/start")(self.start)
        router.post("/stop")(self.stop)
        router.post("/tunnel")(self.retry)
        router.post("/links/{role}")(self.renew)
        router.post("/links/{role}/revoke")(self.revoke)
        router.post("/runs/{run_id}")(self.publish)
        return router

    def state(self) -> dict[str, Any]:
        """Everything that the Share tab shows."""
        sharing, tunnel = self._sharing, self._sharing.tunnel.state
        error = texts.NO_TUNNEL.format(error=tunnel.error) if tunnel.error else ""
        return {
            "private": sharing.access.is_private,
            "port": sharing.way_in,
            "tunnel": {"status": tunnel.status, "address": tunnel.address, "error": error},
            "links": {role: self._link(role) for role in ROLES},
            "expiries": EXPIRIES,
            "watching": [{"seconds": time.monotonic() - w.since, "run": w.run} for w in sharing.watching.now()],
            "runs": [self._run(run_id) for run_id in self._store.ids()[:200]],
        }

    def start(self, wish: LinkRequest) -> dict[str, Any]:
        """Share."""
        self._sharing.start(wish.seconds)
        return self.state()

    def stop(self) -> dict[str, Any]:
        """Share no longer."""
        self._sharing.stop()
        return self.state()

    def retry(self) -> dict[str, Any]:
        """Try the tunnel again."""
        if not self._sharing.way_in:
            raise HTTPException(409, texts.NO_LINK.format(role="viewer"))
        self._sharing.tunnel.open(self._sharing.way_in)
        return self.state()

    def renew(self, role: Role, wish: LinkRequest) -> dict[str, Any]:
        """A new link; the old one and its sessions end. The owner's own session goes on with ``login``."""
        if role == "owner" and self._sharing.access.is_private:
            raise HTTPException(409, texts.NO_OWNER_LINK)
        link = self._links.make(role, wish.seconds)
        return {"login": f"login?token={link.token}" if role == "owner" else None, **self.state()}

    def revoke(self, role: Role) -> dict[str, Any]:
        """No link."""
        self._links.revoke(role)
        return self.state() if role == "viewer" else {}

    def publish(self, run_id: str, wish: Show) -> dict[str, Any]:
        """Show a run, or its model too, or nothing of it."""
        try:
            run = self._store.get(run_id)
            publish(run, Published(run=wish.run, model=wish.model))
        except RunError as error:
            raise HTTPException(404, str(error)) from None
        except OSError as error:
            raise HTTPException(409, f"{run_id} cannot be changed: {error.strerror}.") from None
        return self._run(run_id)

    def _link(self, role: Role) -> dict[str, Any] | None:
        link = self._links.get(role)
        if link is None:
            return None
        texts_of = [self._sharing.link_text(link, address) for address in self._sharing.addresses()]
        return {
            "texts": texts_of,
            "created": link.created,
            "expires": link.expires,
            "qr": qr_rows(texts_of[0]) if texts_of else [],
        }

    def _run(self, run_id: str) -> dict[str, Any]:
        line = self._store.summary(run_id)
        run = RunFolder(self._store.root / run_id)
        what = published(run)
        return {
            "id": run_id,
            "title": line.title if line else run_id,
            "status": line.status if line else "lost",
            "created": line.created if line else 0.0,
            "published": what.run,
            "model": what.model,
            "has_weights": run.best_weights.is_file(),
        }


def qr_rows(text: str) -> list[str]:
    """A QR code as rows of 0 and 1, for the page's script to draw; with the quiet zone that the standard asks for."""
    code = segno.make(text, error="m", micro=False)
    return ["".join("1" if dark else "0" for dark in row) for row in code.matrix_iter(border=4)]


def network_host(host: str) -> str:
    """A name for links to an app that listens on ``host``: of all addresses, the one that leads to other networks."""
    if host not in ("0.0.0.0", "::"):
        return host.strip("[]")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would be used
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
