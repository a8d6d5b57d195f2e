"""Who gets in: hosts, origins, tokens, cookies; on a tiny application behind the guard."""

from __future__ import annotations

import time

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from fine_tuner.ui.security import (
    COOKIE,
    LOGIN_TRIES_PER_MINUTE,
    SESSION_SECONDS,
    Access,
    Guard,
    may,
    needed_role,
    new_token,
)

METHODS = ("POST", "PUT", "PATCH", "DELETE")


def serve(access: Access, host: str = "127.0.0.1:7860") -> TestClient:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "OPTIONS", *METHODS])
    def anything(path: str) -> dict[str, str]:
        return {"path": path}

    @app.websocket("/ws")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app.add_middleware(Guard, access=access)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.fixture
def local() -> TestClient:
    return serve(Access())


@pytest.fixture
def shared() -> TestClient:
    return serve(Access(owner_token="owner" * 8, viewer_token="viewer" * 8), host="abc.example.org")


# ------------------------------------------------------------------ hosts
@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "LOCALHOST:1"])
def test_the_loopback_names_are_served_without_a_login(local, host):
    assert local.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.2:7860", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_was_rebound_to_loopback_is_refused(local, host, method):
    assert local.request(method, "/", headers={"Host": host}).status_code == 421


def test_behind_a_tunnel_any_name_may_reach_the_login(shared):
    assert shared.get("/login", headers={"Host": "xyz.gradio.live"}).status_code == 401
    assert "printed" in shared.get("/login").text


# ------------------------------------------------------------------ origins
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860", ""]
)
def test_another_site_changes_nothing(local, method, origin):
    assert local.request(method, "/x", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("method", METHODS)
def test_the_page_itself_may_change_things(local, method):
    assert local.request(method, "/x", headers={"Origin": "http://127.0.0.1:7860"}).status_code == 200


@pytest.mark.parametrize(
    ("site", "code"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_without_an_origin_what_the_browser_says_of_the_site_counts(local, site, code):
    assert local.post("/x", headers={"Sec-Fetch-Site": site}).status_code == code


def test_a_program_that_is_no_browser_needs_no_origin(local):
    assert local.post("/x").status_code == 200


def test_a_websocket_of_another_site_is_refused(local):
    with local.websocket_connect("ws://127.0.0.1:7860/ws", headers={"Origin": "http://127.0.0.1:7860"}) as socket:
        assert socket.receive_text() == "hello"
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        local.websocket_connect("ws://127.0.0.1:7860/ws", headers={"Origin": "http://evil.example"}),
    ):
        pass
    assert refused.value.code == 1008


# ------------------------------------------------------------------ roles
def test_whatever_is_not_named_is_the_owners():
    for path in (
        "/",
        "/api/plan",
        "/gradio_api/upload",
        "/viewer",
        "/views/",
        "/monitoring/x",
        "/page/1/form.js",
        "//view/",
    ):
        assert needed_role(path) == "owner", path
    assert needed_role("/view/api/live") == "viewer"
    assert [may(role, "owner") for role in ("owner", "viewer", None)] == [True, False, False]
    assert [may(role, "viewer") for role in ("owner", "viewer", None)] == [True, True, False]


@pytest.mark.parametrize(
    "path", ["/", "/config", "/api/plan", "/gradio_api/upload", "/theme.css", "/view/", "/page/x/a.js"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_login_nothing_is_served(shared, path, method):
    assert shared.request(method, path).status_code == 401


def test_a_person_without_a_login_is_led_to_it(shared):
    answer = shared.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(("token", "home", "owners_page"), [("owner" * 8, "/", 200), ("viewer" * 8, "/view/", 401)])
def test_the_token_signs_in_once_and_leaves_the_address(shared, token, home, owners_page):
    answer = shared.get("/login", params={"token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, home)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    assert shared.get("/view/x").status_code == 200
    assert shared.get("/").status_code == owners_page


def test_over_https_the_cookie_never_leaves_it(shared):
    answer = shared.get("/login", params={"token": "owner" * 8}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


def test_guessing_is_slowed_down(shared):
    codes = [shared.get("/login", params={"token": f"guess{i}"}).status_code for i in range(LOGIN_TRIES_PER_MINUTE + 1)]
    assert codes == [401] * LOGIN_TRIES_PER_MINUTE + [429]
    assert shared.get("/").status_code == 401


# ------------------------------------------------------------------ sessions
def test_a_session_is_valid_until_it_expires():
    access = Access(owner_token=new_token())
    assert access.role_of_cookie(access.cookie_for("owner")) == "owner"
    assert access.role_of_cookie(access.cookie_for("owner", now=time.time() - SESSION_SECONDS - 1)) is None


def test_a_session_cannot_be_forged():
    access = Access(owner_token=new_token())
    good = access.cookie_for("viewer")
    bent = good[:-1] + ("0" if good[-1] != "0" else "1")
    forged = [
        good.replace("viewer", "owner"), bent, good.rpartition(".")[0], "", ".",
        "owner.9999999999.", "owner", Access(owner_token=access.owner_token).cookie_for("owner"), "ö.1.2",
    ]  # fmt: skip
    assert [access.role_of_cookie(cookie) for cookie in forged] == [None] * len(forged)


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 256 bit


@pytest.mark.parametrize("token", ["", "owner", "OWNER" * 8, "owner" * 8 + " ", "ö" * 40])
def test_a_wrong_token_has_no_role(token):
    assert Access(owner_token="owner" * 8).role_of_token(token) is None


def test_the_viewers_token_counts_for_nothing_while_there_is_none():
    assert Access(owner_token="o" * 40).role_of_token("None") is None


# ------------------------------------------------------------------ headers
def test_every_answer_keeps_the_browser_to_this_host(local, shared):
    for answer in (
        local.get("/"),
        local.get("/", headers={"Host": "evil.example"}),
        shared.get("/"),
        shared.get("/login"),
    ):
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers


def test_the_cookie_of_a_shared_page_is_not_asked_for_on_loopback(local):
    assert local.get("/", headers={"Cookie": f"{COOKIE}=nonsense"}).status_code == 200
