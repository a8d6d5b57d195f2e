"""Ways in, as processes and sockets: the second port of a private app, links over a restart, a proxy's prefix."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from fastapi.testclient import TestClient

from fine_tuner.base.errors import InputError
from fine_tuner.ui import static
from fine_tuner.ui.access.entry import Access, open_links, split_root_path
from fine_tuner.ui.access.links import Links
from fine_tuner.ui.access.peer import whose
from fine_tuner.ui.access.sharing import Sharing, qr_rows
from fine_tuner.ui.access.tunnel import Tunnel
from fine_tuner.ui.connection import SecondDoor
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.server import Options
from tests.ui.attacks import Target, served
from tests.ui.canned import Canned, in_a_loop


@pytest.fixture
def target(tmp_path):
    """A private app: whoever runs the tests is its owner."""
    target = Target(tmp_path)
    target.access = Access(whose=whose)
    with served(target):
        yield target


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_sharing_a_private_app_opens_a_port_where_everyone_needs_a_login(target):
    with httpx.Client(base_url=f"http://127.0.0.1:{target.port}") as owner:
        assert owner.get("/api/share").json()["links"]["viewer"] is None
        state = owner.post("/api/share/start", json={"seconds": 3600}).json()
        port, link = state["port"], state["links"]["viewer"]["texts"][0]
        assert port not in (0, target.port)
        assert state["links"]["owner"] is None
        wait_until(lambda: listens(port))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as viewer:
            for host in (f"127.0.0.1:{port}", "localhost", f"127.0.0.1:{target.port}"):  # as a tunnel may pass it on
                assert viewer.get("/api/runs", headers={"Host": host}).status_code == 401
            assert viewer.get(link).status_code == 303
            assert viewer.get("/view/api/runs").json() == {"runs": []}
            assert viewer.get("/api/runs").status_code == 401
        assert owner.get("/api/runs").status_code == 200  # no login where the owner is, as before
        assert owner.post("/api/share/links/owner", json={}).status_code == 409
        assert owner.post("/api/share/stop").json()["port"] == 0
        wait_until(lambda: not listens(port))
        again = owner.post("/api/share/start", json={}).json()
        assert again["links"]["viewer"]["texts"][0].rpartition("=")[2] not in link
        owner.post("/api/share/stop")


def test_a_tunnel_leads_to_the_way_in_and_is_forgotten_when_closed():
    asked, release = [], threading.Event()

    def setup(port: int) -> str:
        asked.append(port)
        release.wait(5)
        return "https://abc.example.live/"

    tunnel, heard = Tunnel(setup), []
    tunnel.open(7001, then=heard.append)
    tunnel.open(7001)
    assert tunnel.state.status == "opening"
    release.set()
    wait_until(lambda: tunnel.state.status == "open")
    assert (asked, tunnel.state.address) == ([7001], "https://abc.example.live")
    wait_until(lambda: len(heard) == 1)
    tunnel.close()
    assert (tunnel.state.status, tunnel.state.address) == ("closed", "")


def test_a_tunnel_that_comes_after_it_was_closed_is_not_taken():
    release, done = threading.Event(), threading.Event()

    def setup(port: int) -> str:
        release.wait(5)
        done.set()
        return "https://late.example"

    tunnel = Tunnel(setup)
    tunnel.open(7001, then=pytest.fail)
    tunnel.close()
    release.set()
    assert done.wait(5)
    time.sleep(0.05)
    assert tunnel.state.status == "closed"


def test_links_of_the_last_time_hold_until_new_ones_are_asked_for(tmp_path):
    first = {role: open_links(tmp_path, is_private=False).get(role) for role in ("owner", "viewer")}
    assert {role: open_links(tmp_path, is_private=False).get(role) for role in first} == first
    private = open_links(tmp_path, is_private=True)
    assert (private.get("owner"), private.get("viewer")) == (None, first["viewer"])
    renewed = open_links(tmp_path, is_private=False, new_links=True, link_hours=1)
    assert renewed.get("viewer").token != first["viewer"].token
    assert renewed.get("owner").expires == pytest.approx(time.time() + 3600, abs=5)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", "")), ("/", ("", "")), ("/tuner/", ("", "/tuner")),
        ("https://example.org/a/b", ("https://example.org", "/a/b")), ("http://h:8080", ("http://h:8080", "")),
    ],
)  # fmt: skip
def test_where_a_proxy_shows_the_app(text, parts):
    assert split_root_path(text) == parts
    assert Options(root_path=text).is_private is (text == "")


@pytest.mark.parametrize("text", ["tuner", "ftp://x/y", "//evil.example/x", "/x?y=1", "https://x/#y"])
def test_an_odd_root_path_is_an_error_with_a_way_out(text):
    with pytest.raises(InputError, match="Give /tuner, or https"):
        split_root_path(text)


def test_both_pages_know_where_the_proxy_shows_them(tmp_path):
    access = Access(is_private=False, origin="https://example.org", prefix="/tuner")
    access.links.make("owner")
    with private_environment():
        from fine_tuner.ui.app import build_app

        allowed = Allowed(roots=(tmp_path,))
        app = in_a_loop(lambda: build_app(runs=tmp_path, allowed=allowed, sharing=Sharing(access), ask=Canned()))
    client = TestClient(app, base_url="http://127.0.0.1:7860", follow_redirects=False)
    cookie = access.links.open_session(access.links.get("owner"))[0]
    headers = {"Cookie": f"{access.links.cookie_name}={cookie}"}
    for path, root in (
        ("/tuner/", "/tuner"),
        ("/", "/tuner"),
        ("/tuner/view/", "/tuner/view"),
        ("/view/", "/tuner/view"),
    ):
        assert f'"root":"https://example.org{root}"' in client.get(path, headers=headers).text
    for path in (
        "/tuner/theme.css",
        "/tuner/view/theme.css",
        "/view/theme.css",
        f"/tuner/{static.address_of('live/live.js')}",
    ):
        assert client.get(path, headers=headers).status_code == 200
    assert client.get("/tuner/api/runs", headers=headers).json() == {"runs": []}


def test_a_qr_code_has_its_quiet_zone_and_finders():
    rows = qr_rows("https://abc.gradio.live/login?token=" + "x" * 43)
    assert rows[0] == "0" * len(rows)
    assert rows[4][4:11] == rows[4][-11:-4] == "1111111"
    assert rows[8][4:11] == "1011101"


async def open_and_close_a_second_door() -> None:
    """What the test below runs in the main thread of a process of its own, where a server would take the signals."""

    async def no_app(scope, receive, send):
        raise AssertionError

    before = signal.getsignal(signal.SIGINT)
    door = SecondDoor(no_app, asyncio.get_running_loop())
    listener = door.bind()
    port = listener.getsockname()[1]
    door.open(listener)
    await asyncio.sleep(0.3)
    assert listens(port)
    assert signal.getsignal(signal.SIGINT) is before
    door.close()
    await asyncio.sleep(0.3)
    assert not listens(port)


def test_the_second_door_takes_no_signals():
    name = open_and_close_a_second_door.__name__
    code = f"import asyncio; from tests.ui.access.test_security_doors import {name}; asyncio.run({name}())"
    environment = os.environ | {"PYTHONPATH": str(static.ASSETS.parent)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_started_for_the_network_the_app_prints_two_links_whose_sessions_outlive_it(tmp_path):
    command = [sys.executable, "app.py", "--no-browser", "--port", "0", "--host", "0.0.0.0", "--runs", str(tmp_path)]
    form = {"argv": ["sample", "loss.name=custom", "loss.file=my_loss.py"]}
    with subprocess.Popen(command, cwd=static.ASSETS.parent, env=os.environ, stdout=subprocess.PIPE, text=True) as app:
        try:
            lines = "".join(app.stdout.readline() for _ in range(4))
            tokens = dict(re.findall(r"For (you alone|those who watch): http://\S+/login\?token=(\S+)", lines))
            address = re.search(r"Fine Tuner: (http://127\.0\.0\.1:\d+)/login", lines)[1]
            with httpx.Client(base_url=address, timeout=20) as viewer:
                assert viewer.get("/view/api/runs").status_code == 401
                viewer.get("/login", params={"token": tokens["those who watch"]})
                assert viewer.get("/view/api/runs").status_code == 200
                assert viewer.get("/api/runs").status_code == 401
            with httpx.Client(base_url=address, timeout=20) as owner:
                owner.get("/login", params={"token": tokens["you alone"]})
                errors = owner.post("/api/preview", json=form).json()["errors"]  # asked and answered without torch
                assert "--allow-code" in errors["loss.name"]
                assert owner.get("/api/loss/file", params={"path": "my_loss.py"}).status_code == 403
        finally:
            app.terminate()
            app.wait(20)
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != ".access"]
    assert not any(token.encode() in path.read_bytes() for path in written for token in tokens.values())
    after = Links(tmp_path)
    assert after.read_session(viewer.cookies[after.cookie_name]).role == "viewer"
    assert after.of_token(tokens["you alone"]).role == "owner"
