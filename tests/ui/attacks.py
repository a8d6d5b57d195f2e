"""A server to attack: the whole app on loopback, what lies outside of it, and requests as no browser sends them."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.limits import Allowance, VisitorLimits
from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.access.tunnel import Tunnel
from fine_tuner.ui.connection import HeadTimeoutProtocol, SecondDoor, make_server
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, printed
from tests.ui.hand_run import HandRun

SECRET = "TOP-SECRET-4711"
PLENTY = Allowance(1e6, 1e6)
LIMITS = VisitorLimits(
    session=PLENTY, stranger=PLENTY, strangers=PLENTY, asks=PLENTY, viewers=PLENTY, tries=PLENTY, all_tries=PLENTY
)


def no_tunnel(port: int) -> str:
    """What happens without a network."""
    raise RuntimeError("no network here")


class Hasty(HeadTimeoutProtocol):
    """Waits half a second for the head of a request."""

    head_seconds = 0.5


class Target:
    """The app with a run that is published and one that is not, and a folder outside with a secret.

    Attributes:
        root: Below it ``data`` and ``runs`` are allowed; ``outside`` is not.
        shown, hidden: Ids of runs.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.outside = root, root / "outside"
        for name in ("data", "runs", "outside"):
            (root / name).mkdir()
        (self.outside / "secret.txt").write_text(SECRET)
        (self.outside / "secret.py").write_text(f"# {SECRET}\n")
        (root / "data" / "link").symlink_to(self.outside)
        (root / "data" / "link.py").symlink_to(self.outside / "secret.py")
        self.shown, self.hidden = "20261123-000001-shown", "20261123-000002-hidden"
        for run_id in (self.shown, self.hidden):
            run = HandRun(root / "runs", run_id, title=f"title of {run_id}")
            run.begin(), run.train(20)
            run.folder.best_weights.parent.mkdir(parents=True, exist_ok=True)
            run.folder.best_weights.write_bytes(b"weights")
            run.finish()
        self.access = Access(is_private=False)  # or another, before it is served
        self.access.links.make("owner"), self.access.links.make("viewer")
        self.asked: list[list[str]] = []
        self.canned = Canned()
        self.setup_tunnel = no_tunnel
        self.port = 0

    def ask(self, argv):
        self.asked.append(list(argv))
        if argv[0] == "predict":
            return printed(
                {"run": argv[1], "predictions": [{"image": argv[2], "label": "ant", "probabilities": {"ant": 1.0}}]}
            )
        return self.canned(argv)

    def cookie(self, role: str) -> dict[str, str]:
        links = self.access.links
        return {"Cookie": f"{links.cookie_name}={links.open_session(links.get(role))[0]}"}

    def send(self, request: bytes | str, *, seconds: float = 5.0) -> tuple[int, str]:
        """Status and text of the answer to raw bytes; 0 if the server hung up."""
        data = request.encode("latin-1") if isinstance(request, str) else request
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except (TimeoutError, ConnectionResetError):
                pass
        return (int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0), answer.decode("latin-1")

    def ask_for(self, target: str, *, role: str | None = None, method: str = "GET", body: bytes = b"", **headers: str):
        """One request with its target as it is, spelled as the attacker likes."""
        lines = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"} | (self.cookie(role) if role else {})
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body or method == "POST":
            lines.setdefault("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)

    def world(self) -> dict[str, str]:
        """Every file outside of what the app may write, by its content."""
        files = [p for name in ("outside", "data") for p in (self.root / name).rglob("*") if p.is_file()]
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def served(target: Target):
    """The target's app on a free port, as ``app.py`` serves it."""
    with private_environment(), socket.create_server(("127.0.0.1", 0)) as listener:
        target.port = listener.getsockname()[1]
        started, made = threading.Event(), {}

        async def run() -> None:
            from fine_tuner.ui.app import build_app

            app = build_app(
                runs=target.root / "runs", allowed=Allowed(roots=(target.root / "data", target.root / "runs")),
                sharing=Sharing(
                    target.access, tunnel=Tunnel(lambda port: target.setup_tunnel(port)), limits=LIMITS
                ),
                ask=target.ask,
            )  # fmt: skip
            app.state.sharing.port = target.port
            app.state.sharing.door = SecondDoor(app, asyncio.get_running_loop())
            made["server"] = make_server(app, protocol=Hasty, is_second=True)
            started.set()
            await made["server"].serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        started.wait(30)
        while not made["server"].started:
            threading.Event().wait(0.02)
        yield target
        made["server"].should_exit = True
        thread.join(10)
