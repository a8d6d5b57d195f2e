"""Every route of the running app, Gradio's included, for every kind of visitor: what the rules say is what happens."""

from __future__ import annotations

import re
import time

import pytest
from fastapi.testclient import TestClient

from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.guard import Guard, may
from fine_tuner.ui.access.limits import Allowance, VisitorLimits
from fine_tuner.ui.access.links import SESSION_SECONDS, Links
from fine_tuner.ui.access.permissions import RULES, RuleTable
from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.canned import Canned, in_a_loop

HOME = "http://127.0.0.1:7860"
PLENTY = Allowance(1e6, 1e6)
LIMITS = VisitorLimits(session=PLENTY, stranger=PLENTY, strangers=PLENTY, asks=PLENTY, viewers=PLENTY)
TABLE = RuleTable()
STRANGERS = ("anonymous", "expired", "forged", "another app's")


def make_app(folder, access):
    with private_environment():
        from fine_tuner.ui.app import build_app

        allowed = Allowed(roots=(folder,))
        return in_a_loop(
            lambda: build_app(runs=folder, allowed=allowed, sharing=Sharing(access, limits=LIMITS), ask=Canned())
        )


@pytest.fixture(scope="module")
def access():
    access = Access(is_private=False)
    access.links.make("owner"), access.links.make("viewer")
    return access


@pytest.fixture(scope="module")
def app(access, tmp_path_factory):
    return make_app(tmp_path_factory.mktemp("runs"), access)


@pytest.fixture
def client(app):
    return TestClient(app, base_url=HOME, follow_redirects=False)


def routes_of(routes, prefix: str = "") -> set[tuple[str, str]]:
    """(method, path) of everything that is served, mounted applications included."""
    found = set()
    for route in routes:
        path = prefix + getattr(route, "path", "")
        below = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if below:
            found |= routes_of(below, path)
        else:
            found |= {(method, path) for method in getattr(route, "methods", None) or {"WEBSOCKET"}}
    return found


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


def cookie_of(access: Access, visitor: str) -> dict[str, str]:
    links = access.links
    foreign = Links()
    cookies = {
        "owner": lambda: links.open_session(links.get("owner"))[0],
        "viewer": lambda: links.open_session(links.get("viewer"))[0],
        "expired": lambda: links.open_session(links.get("owner"), now=time.time() - SESSION_SECONDS - 1)[0],
        "forged": lambda: links.open_session(links.get("viewer"))[0].replace("viewer", "owner"),
        "another app's": lambda: foreign.open_session(foreign.make("owner"))[0],
    }
    return {} if visitor == "anonymous" else {"Cookie": f"{links.cookie_name}={cookies[visitor]()}"}


def test_every_route_has_a_rule(app):
    served = routes_of(app.routes)
    assert len(served) > 180
    assert {("POST", "/gradio_api/upload"), ("POST", "/view/gradio_api/upload"), ("GET", "/monitoring")} <= served
    without = sorted(f"{m} {p}" for m, p in served if m != "OPTIONS" and TABLE.find(m, concrete(p)) is None)
    assert without == [], "add a line for each to fine_tuner/ui/access/permissions.py: who may use it?"


def test_every_rule_is_about_a_route(app):
    served = [(m, concrete(p)) for m, p in routes_of(app.routes)] + [("GET", "/login"), ("POST", "/login")]
    served += [("GET", "/view"), ("GET", "/gradio_api/file=x://x"), ("GET", "/gradio_api/file=httpx")]
    served += [("GET", "/view/gradio_api/file=x://x"), ("GET", "/view/gradio_api/file=httpx")]
    alternatives = {"/login_check", "/view/login_check"}
    idle = [r.path for r in RULES if not any(m in r.methods.split() and r.pattern.fullmatch(p) for m, p in served)]
    assert set(idle) <= alternatives


@pytest.mark.parametrize("visitor", STRANGERS)
def test_who_is_not_signed_in_gets_the_login_and_nothing_else(app, access, client, visitor):
    headers = cookie_of(access, visitor)
    for method, path in sorted(routes_of(app.routes)):
        if method != "OPTIONS" and path != "/login":
            answer = client.request(method, concrete(path), headers=headers)
            assert answer.status_code == 401, (method, path, answer.text[:200])
            assert "Not signed in" in answer.text or method == "HEAD"


def test_a_viewer_gets_what_the_table_says_and_nothing_else(app, access, client):
    headers, passed = cookie_of(access, "viewer"), set()
    for method, path in sorted(routes_of(app.routes)):
        needed = TABLE.needed(method, concrete(path))
        if method == "OPTIONS" or path == "/login":
            continue
        answer = client.request(method, concrete(path), headers=headers)
        if may("viewer", needed):
            assert answer.status_code in (200, 404, 405, 422), (method, path, answer.text[:200])
            passed.add(path)
        else:
            assert answer.status_code == (404 if needed == "nobody" else 401), (method, path, answer.text[:200])
    own = {p for p in passed if not p.startswith("/view/gradio_api/")}
    assert {p for p in own if p.startswith("/view/api/")} == {
        "/view/api/live", "/view/api/live/detail", "/view/api/runs", "/view/api/runs/{run_id}",
        "/view/api/runs/{run_id}/try",
    }  # fmt: skip
    assert {p for p in passed if not p.startswith("/view")} == {"/page/{version}/{name:path}", "/favicon.ico"}
    assert {p.removeprefix("/view/gradio_api/") for p in passed - own} == {
        "theme.css",
        "app_id",
        "app_id/",
        "startup-events",
    }


def test_the_owner_gets_everything_but_what_nobody_needs(app, access):
    async def echo(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["role"].encode()})

    client = TestClient(Guard(echo, access, limits=LIMITS), base_url=HOME, follow_redirects=False)
    headers = cookie_of(access, "owner")
    for method, path in sorted(routes_of(app.routes)):
        if method != "OPTIONS" and path != "/login":
            answer = client.request(method, concrete(path), headers=headers)
            expected = 404 if TABLE.needed(method, concrete(path)) == "nobody" else 200
            assert answer.status_code == expected, (method, path)


CROSS_SITE = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]


def test_no_route_that_changes_something_is_reached_by_a_page_of_another_site(app, access):
    reached = []

    async def echo(scope, receive, send):
        reached.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(Guard(echo, access, limits=LIMITS), base_url=HOME, follow_redirects=False)
    owner = cookie_of(access, "owner")
    changing = sorted((m, p) for m, p in routes_of(app.routes) if m not in {"GET", "HEAD", "OPTIONS", "WEBSOCKET"})
    assert len(changing) > 50
    for method, path in changing:
        for headers in CROSS_SITE:
            answer = client.request(method, concrete(path), headers=owner | headers)
            assert (answer.status_code, "another web site" in answer.text) == (403, True), (method, path, headers)
    assert reached == []


def test_the_viewers_page_contains_no_function(access, client):
    config = client.get("/view/config", headers=cookie_of(access, "viewer")).json()
    assert config["dependencies"] == []
    assert not any(part["props"].get("server_fns") for part in config["components"])


def test_the_owners_functions_cannot_be_called_by_a_viewer_in_any_way(access, client):
    owner, viewer = cookie_of(access, "owner"), cookie_of(access, "viewer")
    functions = client.get("/config", headers=owner).json()["dependencies"]
    assert len(functions) >= 3
    for prefix in ("", "/view"):
        for function in functions:
            body = {"fn_index": function["id"], "data": [], "session_hash": "x", "event_id": "x", "trigger_id": None}
            ways = [f"{kind}/{function['api_name']}" for kind in ("run", "api", "call", "call/v2")]
            for way in ("queue/join", "component_server", "run/predict", "api/predict", "cancel", "reset", *ways):
                answer = client.post(f"{prefix}/gradio_api/{way}", json=body, headers=viewer)
                assert answer.status_code in (401, 404), (prefix, way)
        files = {"files": ("x.txt", b"x")}
        assert client.post(f"{prefix}/gradio_api/upload", files=files, headers=viewer).status_code in (401, 404)


def test_without_the_guard_every_route_still_asks_for_its_role(access, tmp_path):
    app = make_app(tmp_path, access)
    app.user_middleware = [layer for layer in app.user_middleware if layer.cls is not Guard]
    client = TestClient(app, base_url=HOME, follow_redirects=False)
    owners = [
        (m, p) for m, p in routes_of(app.routes) if p.startswith(("/api/", "/view/api/")) and m in ("GET", "POST")
    ]
    assert len(owners) > 25
    for method, path in owners:
        body = {"json": {}} if method == "POST" else {}
        assert client.request(method, concrete(path), **body).status_code == 403, (method, path)
    for path in ("/", "/config", "/view/", "/view/config", "/gradio_api/info"):
        assert client.get(path).status_code == 401, path
