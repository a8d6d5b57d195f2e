"""A public address through Gradio's tunnel: opened in the background, closed at will, and why there is none."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Setup = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class TunnelState:
    """``address`` while open; ``error`` once it failed."""

    status: Literal["closed", "opening", "open", "failed"] = "closed"
    address: str = ""
    error: str = ""


def setup_gradio_tunnel(port: int) -> str:
    """The public address for a local port.

    Raises:
        Exception: Whatever download, process or network bring.
    """
    from gradio.networking import setup_tunnel

    return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)


class Tunnel:
    """At most one tunnel.

    Args:
        setup: Opens one to a port of this machine and gives its address; takes up to a minute.
    """

    def __init__(self, setup: Setup = setup_gradio_tunnel) -> None:
        self._setup = setup
        self._lock = threading.Lock()
        self._wanted = 0  # counts openings and closings: a late answer to an old wish is not taken
        self._port = 0
        self.state = TunnelState()

    def open(self, port: int, *, then: Callable[[TunnelState], object] | None = None) -> None:
        """Begin to open; ``then`` is called with how it went."""
        with self._lock:
            if self.state.status in ("opening", "open"):
                return
            self._wanted += 1
            self._port, self.state = port, TunnelState("opening")
            work = (port, self._wanted, then)
        threading.Thread(target=self._open, args=work, name="tunnel", daemon=True).start()

    def _open(self, port: int, wish: int, then: Callable[[TunnelState], object] | None) -> None:
        try:
            state = TunnelState("open", address=self._setup(port).rstrip("/"))
        except Exception as error:  # see setup_gradio_tunnel; the app serves on without it, and says why
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            state = TunnelState("failed", error=first_line.rstrip(".")[:300])
        with self._lock:
            is_late = wish != self._wanted
            if not is_late:
                self.state = state
        if is_late:
            _kill(port)
        elif then is not None:
            then(state)

    def close(self) -> None:
        """Close it, or do not open it after all."""
        with self._lock:
            self._wanted += 1
            port, self._port, self.state = self._port, 0, TunnelState()
        if port:
            _kill(port)


def _kill(port: int) -> None:
    """End the processes of tunnels to ``port``; Gradio keeps a list of its own."""
    tunneling = sys.modules.get("gradio.tunneling")
    for tunnel in list(getattr(tunneling, "CURRENT_TUNNELS", ())):
        process = tunnel.proc
        if tunnel.local_port == port and process is not None:
            tunnel.proc = None  # so that Gradio does not say so at the end
            with suppress(OSError):
                process.terminate()
                process.wait(5)
            tunneling.CURRENT_TUNNELS.remove(tunnel)
