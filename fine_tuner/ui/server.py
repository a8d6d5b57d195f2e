"""From the command line's options to a served page: port, access, links, browser, shutdown."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fine_tuner.base.errors import FineTunerError, InputError
from fine_tuner.data.files.folders import ROOTS_VARIABLE, roots_text
from fine_tuner.losses.verdicts import ALLOW_VARIABLE
from fine_tuner.ui.access.announcing import say_links, tell_of_stranger, tell_tunnel
from fine_tuner.ui.access.entry import LINK_HOURS, LOOPBACK_NAMES, Access, bracketed, check_entry, open_access
from fine_tuner.ui.access.sharing import Sharing, network_host
from fine_tuner.ui.connection import SecondDoor, Server, make_server
from fine_tuner.ui.environment import no_proxy, private_environment
from fine_tuner.ui.form.folders import Allowed, resolve_roots

DEFAULT_PORT = 7860
PORTS_TRIED = 40
Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What was asked for on the command line; see ``ui/command_line.py``."""

    host: str = "127.0.0.1"
    port: int | None = None
    runs: Path = Path("runs")
    data_root: list[Path] = field(default_factory=list)
    share: bool = False
    allow_code: bool = False
    no_browser: bool = False
    root_path: str = ""
    link_hours: float = LINK_HOURS
    new_links: bool = False

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach the page."""
        return not (self.share or self.root_path) and (self.host in LOOPBACK_NAMES or self.host == "::1")


def serve(options: Options, *, say: Say = print) -> int:
    """Serve the page until interrupted.

    Returns:
        Exit code: 0, or 2 if it could not begin (the message is on stderr).
    """
    try:
        return _serve(options, say)
    except FineTunerError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _serve(options: Options, say: Say) -> int:
    check_entry(options.root_path, options.link_hours)
    listener = listen(options.host, options.port)
    port = listener.getsockname()[1]
    if options.port is None and port != DEFAULT_PORT:
        say(f"Port {DEFAULT_PORT} is taken, so this one is on {port}.")
    runs = runs_folder(options.runs)
    roots, allows_code = data_roots(options), options.is_private or options.allow_code
    access = open_access(
        runs, is_private=options.is_private, root_path=options.root_path, link_hours=options.link_hours,
        new_links=options.new_links,
    )  # fmt: skip
    # uvicorn ends in order, then raises the signal that ended it again: it must not kill what is left to tidy up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ[ROOTS_VARIABLE] = roots_text(roots)
    if options.allow_code:
        os.environ[ALLOW_VARIABLE] = "1"
    with private_environment(), suppress(KeyboardInterrupt):
        asyncio.run(_run(listener, options, access, Allowed(roots=roots, code=allows_code), runs, say))
    return 0


async def _run(
    listener: socket.socket, options: Options, access: Access, allowed: Allowed, runs: Path, say: Say
) -> None:
    """Build the application, inside the event loop that Gradio's locks want, and serve it."""
    with no_proxy():  # Gradio reads its environment when it is imported, so that is settled first
        from fine_tuner.ui.app import build_app

    sharing = Sharing(access)
    app = build_app(runs=runs, allowed=allowed, sharing=sharing)
    server, port = make_server(app), listener.getsockname()[1]
    sharing.port, sharing.host = port, network_host(options.host)
    sharing.door = server.second = SecondDoor(app, asyncio.get_running_loop())
    access.on_stranger = tell_of_stranger(sharing, f"http://{bracketed(options.host)}:{port}", say)
    threading.Thread(target=_announce, args=(server, options, sharing, say), daemon=True).start()
    await server.serve(sockets=[listener])


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on ``port``; on the first free one from 7860 on if None.

    Raises:
        InputError: If there is none, or the address is not this machine's.
    """
    ports = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else (port,)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    failure: OSError | OverflowError | None = None
    for candidate in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":  # there it means: do not wait for old connections to fade; not: share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), candidate))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            failure = error
            listener.close()
        else:
            return listener
    where = f"port {port}" if port is not None else f"ports {ports.start} to {ports.stop - 1}"
    reason = getattr(failure, "strerror", None) or str(failure)
    raise InputError(f"Cannot listen on {host}, {where} ({reason}). {_way_out(failure)}")


def _way_out(failure: Exception | None) -> str:
    if isinstance(failure, OSError) and failure.errno in (errno.EADDRINUSE, errno.EACCES):
        return (
            "Is another Fine Tuner running there? Choose another with --port NUMBER, or leave --port out to take the "
            "next free one."
        )
    return "Give an address of this machine with --host (127.0.0.1, or 0.0.0.0 for all) and a --port up to 65535."


def runs_folder(path: Path) -> Path:
    """The folder of runs, made if it is missing.

    Raises:
        InputError: If it cannot be made or written to.
    """
    folder = path.expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder of runs {folder} ({error.strerror}). Choose one with --runs."
        ) from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"Cannot write to the folder of runs {folder}. Choose another with --runs.")
    return folder


def data_roots(options: Options) -> tuple[Path, ...]:
    """Folders below which the page may name data.

    Raises:
        InputError: If one that was given does not exist.
    """
    if not options.data_root:
        return resolve_roots([Path.cwd(), *([Path.home()] if options.is_private else [])])
    missing = [str(p) for p in options.data_root if not p.expanduser().is_dir()]
    if missing:
        raise InputError(f"--data-root {missing[0]} is not a folder on this machine. Give one that exists.")
    return resolve_roots(options.data_root)


def _announce(server: Server, options: Options, sharing: Sharing, say: Say) -> None:
    """Once the page is served: print its links, open the tunnel and a browser if wished."""
    while not server.started:
        if server.should_exit:
            return
        threading.Event().wait(0.02)
    host = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
    here = f"http://{bracketed(host)}:{sharing.port}"
    owner = sharing.access.links.get("owner")
    address = f"{here}/" if sharing.access.is_private or owner is None else sharing.link_text(owner, here)
    say(f"Fine Tuner: {address}")
    say(f"Runs: {runs_folder(options.runs)}    Stop with Ctrl+C; runs that are under way go on.")
    if not sharing.access.is_private:
        say_links(sharing, [a for a in sharing.addresses() if a != here], say)
    if options.share:
        sharing.tunnel.open(sharing.port, then=lambda state: tell_tunnel(state, sharing, say))
    if not options.no_browser and _has_display():
        webbrowser.open(address)


def _has_display() -> bool:
    """Whether opening a browser makes sense; without a display Python would start one in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
