"""Who gets in: hosts, origins, tokens, cookies, users of the machine; on a tiny application behind the guard."""

from __future__ import annotations

import json
import os
import socket
import stat
import string
import subprocess
import sys
import time

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from fine_tuner.ui.access import peer
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.guard import LOGIN_TRIES_PER_MINUTE, Guard, may
from fine_tuner.ui.access.limits import Allowance, VisitorLimits
from fine_tuner.ui.access.links import LINK_SECONDS, SESSION_SECONDS, Links, new_token
from fine_tuner.ui.access.peer import _by_netlink, _by_table, whose
from fine_tuner.ui.access.permissions import RULES, Rule, RuleTable

METHODS = ("POST", "PUT", "PATCH", "DELETE")
TABLE = RuleTable([*RULES, Rule("WEBSOCKET", "/ws", "owner")])
LIMITS = VisitorLimits(stranger=Allowance(10_000, 1000), strangers=Allowance(10_000, 1000))


def serve(access: Access, host: str = "127.0.0.1:7860", limits: VisitorLimits = LIMITS) -> TestClient:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "OPTIONS", *METHODS])
    def anything(path: str) -> dict[str, str]:
        return {"path": path}

    @app.websocket("/{path:path}")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    app.add_middleware(Guard, access=access, table=TABLE, limits=limits)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


def shared_access(**more) -> Access:
    access = Access(is_private=False, **more)
    access.links.make("owner"), access.links.make("viewer")
    return access


@pytest.fixture
def local() -> TestClient:
    return serve(Access())


@pytest.fixture
def access() -> Access:
    return shared_access()


@pytest.fixture
def shared(access) -> TestClient:
    return serve(access, host="abc.example.org")


def sign_in(client: TestClient, access: Access, role: str) -> None:
    assert client.get("/login", params={"token": access.links.get(role).token}).status_code == 303


# ------------------------------------------------------------------ hosts
@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "LOCALHOST:1"])
def test_the_loopback_names_are_served_without_a_login(local, host):
    assert local.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "192.168.0.2:7860",
        "",
        "[::1].evil.example",
        "[::1]@evil.example",
        "localhost@evil.example",
        "localhost/evil.example",
        "[::1]:7860:x",
        "[evil.example]",
        "localhost:7860x",
    ],
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
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_an_origin_what_the_browser_says_of_the_site_counts(local, method, site, code):
    assert local.request(method, "/x", headers={"Sec-Fetch-Site": site}).status_code == code


def test_a_link_on_another_site_may_lead_to_the_page_but_not_embed_it(local):
    follow = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert local.get("/", headers=follow).status_code == 200
    assert local.get("/", headers=follow | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert (
        local.get("/api/runs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    )


def test_a_program_that_is_no_browser_needs_no_origin(local):
    assert local.post("/x").status_code == 200


def test_a_websocket_of_another_site_or_without_a_rule_is_refused(local):
    with local.websocket_connect("ws://127.0.0.1:7860/ws", headers={"Origin": "http://127.0.0.1:7860"}) as socket:
        assert socket.receive_text() == "hello"
    for path, origin in (("ws", "http://evil.example"), ("other", "http://127.0.0.1:7860")):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            local.websocket_connect(f"ws://127.0.0.1:7860/{path}", headers={"Origin": origin}),
        ):
            pass
        assert refused.value.code == 1008


# ------------------------------------------------------------------ roles
def test_whatever_is_not_named_is_the_owners():
    for path in ("/x", "/api/new", "/viewer", "/views/", "//view/", "/view/x", "/view/api/plan", "/VIEW/", "/view/../"):
        assert TABLE.needed("GET", path) == "owner", path
    assert TABLE.needed("GET", "/view/api/live") == TABLE.needed("HEAD", "/view/api/live") == "viewer"
    assert TABLE.needed("DELETE", "/view/api/live") == "owner"
    assert [may(role, "owner") for role in ("owner", "viewer", None)] == [True, False, False]
    assert [may(role, "viewer") for role in ("owner", "viewer", None)] == [True, True, False]
    assert [may(role, "nobody") for role in ("owner", "viewer", None)] == [False, False, False]


@pytest.mark.parametrize(
    "path", ["/", "/config", "/api/plan", "/gradio_api/upload", "/theme.css", "/view/", "/page/x/a.js"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_login_nothing_is_served(shared, path, method):
    assert shared.request(method, path).status_code == 401


def test_a_person_without_a_login_is_led_to_it(shared):
    answer = shared.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize(("role", "home", "owners_page"), [("owner", "/", 200), ("viewer", "/view/", 401)])
def test_the_token_signs_in_once_and_leaves_the_address(shared, access, role, home, owners_page):
    token = access.links.get(role).token
    answer = shared.get("/login", params={"token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, home)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    assert shared.get("/view/api/live").status_code == 200
    assert shared.get("/").status_code == owners_page


def test_a_link_to_one_run_leads_there_and_nowhere_else(shared, access):
    token = access.links.get("viewer").token
    for run, place in (("20261123-x", "/view/?run=20261123-x"), ("//evil.example", "/view/"), ("a\r\nb: c", "/view/")):
        answer = shared.get("/login", params={"token": token, "run": run})
        assert answer.headers["location"] == place


def test_the_owner_who_tries_the_viewers_link_stays_the_owner(shared, access):
    sign_in(shared, access, "owner")
    sign_in(shared, access, "viewer")
    assert shared.get("/").status_code == 200


def test_over_https_the_cookie_never_leaves_it(shared, access):
    token = access.links.get("owner").token
    answer = shared.get("/login", params={"token": token}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


def test_guessing_is_slowed_down_and_shuts_nobody_out(shared, access):
    codes = [shared.get("/login", params={"token": f"guess{i}"}).status_code for i in range(LOGIN_TRIES_PER_MINUTE + 1)]
    assert codes == [401] * LOGIN_TRIES_PER_MINUTE + [429]
    assert shared.get("/").status_code == 401
    sign_in(shared, access, "owner")


def test_a_right_token_comes_in_whatever_strangers_do(access):
    busy = VisitorLimits(stranger=Allowance(2, 0.001), strangers=Allowance(3, 0.001))
    client = serve(access, limits=busy)
    codes = [client.get(path).status_code for path in ("/", "/login", "/", "/login?token=guess", "/login?token=guess")]
    assert codes == [401, 401, 429, 429, 429]
    other = serve(access, limits=busy)
    for _ in range(50):
        other.get("/login", params={"token": "guess"})
    for role in ("owner", "viewer"):
        sign_in(client, access, role)
        assert client.get("/view/api/runs").status_code == 200
        client.cookies.clear()


def test_strangers_are_limited_by_address_and_in_sum(access):
    guard = Guard(None, access, limits=VisitorLimits(stranger=Allowance(2, 0.001), strangers=Allowance(5, 0.001)))
    calm = [guard._has_allowance(None, "", {"client": (f"192.0.2.{n // 3}", 9)}) for n in range(12)]
    assert calm == [True, True, False, True, True, False, True, False, False, False, False, False]


def test_a_viewer_who_asks_too_much_waits_and_another_does_not(access):
    serving = serve(access, limits=VisitorLimits(session=Allowance(3, 0.001)))
    sign_in(serving, access, "viewer")
    assert [serving.get("/view/api/runs").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    serving.cookies.clear()
    sign_in(serving, access, "viewer")
    assert serving.get("/view/api/runs").status_code == 200


# ------------------------------------------------------------------ the second port
def test_on_the_port_of_a_tunnel_even_this_machine_needs_a_login(access):
    private = Access(shared_ports={7999})
    private.links.make("owner"), private.links.make("viewer")
    here, there = serve(private), serve(private, host="127.0.0.1:7999")
    assert [client.get("/api/runs").status_code for client in (here, there)] == [200, 401]
    sign_in(there, private, "viewer")
    assert there.get("/view/api/runs").status_code == 200
    assert there.get("/api/runs").status_code == 401
    owner = there.get("/login", params={"token": private.links.get("owner").token})
    assert owner.status_code == 401  # the owner of a private app is at its machine


def test_a_viewers_cookie_does_not_lower_the_owner_of_a_private_app():
    private = Access(shared_ports={7999})
    private.links.make("viewer")
    here = serve(private)
    sign_in(here, private, "viewer")
    assert here.get("/api/runs").status_code == 200


# ------------------------------------------------------------------ a proxy in front
def test_behind_a_proxy_paths_and_cookies_keep_to_the_prefix():
    access = shared_access(prefix="/tuner", origin="https://example.org")
    client = serve(access)
    answer = client.get("/tuner/login", params={"token": access.links.get("viewer").token})
    assert answer.headers["location"] == "/tuner/view/"
    assert {"Path=/tuner/", "Secure"} <= set(answer.headers["set-cookie"].split("; "))
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    for path in ("/tuner/view/api/runs", "/view/api/runs"):  # whether the proxy takes the prefix off or not
        assert client.get(path, headers=cookie).status_code == 200
    assert client.get("/tuner/api/runs", headers=cookie).status_code == 401
    assert client.get("/tunerx/view/api/runs", headers=cookie).status_code == 401
    for origin, code in (("https://example.org", 405), ("https://example.org.evil", 403), ("http://example.org", 403)):
        refused = client.post("/view/api/runs/x/try", headers=cookie | {"Origin": origin})
        assert (refused.status_code == 403) is (code == 403), origin


# ------------------------------------------------------------------ sessions
def test_a_session_is_valid_until_it_expires():
    links = Links()
    link = links.make("owner")
    assert links.read_session(links.open_session(link)[0]).role == "owner"
    old, _ = links.open_session(link, now=time.time() - SESSION_SECONDS - 1)
    assert links.read_session(old) is None


def test_a_session_ends_with_its_link():
    for end in (lambda k: k.revoke("viewer"), lambda k: k.make("viewer"), lambda k: k.extend("viewer", -1)):
        links = Links()
        link = links.make("viewer")
        cookie, _ = links.open_session(link)
        assert links.read_session(cookie)
        end(links)
        assert links.read_session(cookie) is None
        assert links.of_token(link.token) is None


def test_a_session_lasts_no_longer_than_its_link():
    links = Links()
    assert links.open_session(links.make("viewer", 60))[1] in (59, 60)
    assert links.open_session(links.make("viewer", None))[1] == SESSION_SECONDS
    assert links.make("owner").expires == pytest.approx(time.time() + LINK_SECONDS, abs=5)


def test_a_session_cannot_be_forged():
    links, others = Links(), Links()
    good, _ = links.open_session(links.make("viewer"))
    links.make("owner")
    letters = string.ascii_letters + string.digits + "-_"
    bent = [good[:-1] + letter for letter in letters if letter != good[-1]]
    foreign, _ = others.open_session(others.make("owner"))
    forged = [
        good.replace("viewer", "owner"), *bent, good.rpartition(".")[0], "", ".", "owner.9999999999.", "owner", foreign,
        "ö.1.2", good + "0", good.upper(), "a.b.c.d.e",
    ]  # fmt: skip
    assert [links.read_session(cookie) for cookie in forged] == [None] * len(forged)


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 256 bit


@pytest.mark.parametrize("bend", [lambda t: "", lambda t: t[:-1], str.swapcase, lambda t: f"{t} ", lambda t: "ö" * 40])
def test_a_wrong_token_opens_nothing(bend):
    links = Links()
    assert links.of_token(bend(links.make("owner").token)) is None


def test_without_a_link_no_token_is_right():
    links = Links()
    links.make("owner")
    assert [links.of_token(text) for text in ("None", "", "viewer")] == [None] * 3


# ------------------------------------------------------------------ what is kept
def test_what_two_apps_on_one_folder_do_to_their_links_all_counts(tmp_path):
    one = Links(tmp_path)
    one.make("owner")
    two = Links(tmp_path)
    viewer = two.make("viewer")
    one.make("owner")
    assert Links(tmp_path).get("viewer") == viewer
    two.revoke("viewer")
    one.extend("owner", 60)
    assert Links(tmp_path).get("viewer") is None
    assert one.get("viewer") is None


def test_links_and_sessions_survive_a_restart_in_a_file_for_this_user_alone(tmp_path):
    before = Links(tmp_path)
    link = before.make("viewer")
    cookie, _ = before.open_session(link)
    after = Links(tmp_path)
    assert after.get("viewer") == link
    assert after.read_session(cookie).role == "viewer"
    assert after.cookie_name == before.cookie_name != Links().cookie_name
    file = tmp_path / ".access" / "links.json"
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("spoil", ["open", "torn", "short secret", "another role"])
def test_a_file_that_others_could_have_read_or_written_counts_for_nothing(tmp_path, spoil):
    before = Links(tmp_path)
    link = before.make("viewer")
    file = tmp_path / ".access" / "links.json"
    data = json.loads(file.read_text())
    match spoil:
        case "open":
            file.chmod(0o644)
        case "torn":
            file.write_text(file.read_text()[:-5])
        case "short secret":
            file.write_text(json.dumps(data | {"secret": "00"}))
        case _:
            file.write_text(json.dumps(data | {"links": [data["links"][0] | {"role": "root"}]}))
    after = Links(tmp_path)
    assert after.of_token(link.token) is None
    assert after.read_session(before.open_session(link)[0]) is None


# ------------------------------------------------------------------ other users of the machine
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a socket is")
def test_a_connection_is_known_to_be_ours_until_it_hangs_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        ends = ours.getsockname(), ours.getpeername()
        assert whose(*ends) == "ours"
        assert _by_netlink(*ends) == _by_table(*ends) == (os.getuid(), os.fstat(ours.fileno()).st_ino)
        ours.close()  # nobody can pass as root by closing at once
        assert whose(*ends) == "nobody's"
        assert [_by_netlink(*ends), _by_table(*ends)] == [None, None]


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can ask as somebody else")
def test_a_process_of_another_user_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = ["/bin/bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; read"]
        with subprocess.Popen(command, user=65534, stdin=subprocess.PIPE, cwd="/", env={}) as other:
            accepted, client = listener.accept()
            with accepted:
                assert whose(client, accepted.getsockname()) == "another's"
                other.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a socket is")
def test_a_port_that_root_passes_on_makes_nobody_the_owner(monkeypatch):
    """To an app of a user root is another; to an app of root so is a root whose process it cannot see."""
    inode = 2**40  # of no process here, as for one outside of a container
    for user, socket_of, expected in ((1000, 0, "another's"), (1000, 1000, "ours"), (0, 0, "another's")):
        monkeypatch.setattr(peer.os, "getuid", lambda user=user: user)
        monkeypatch.setattr(peer, "_lookup", lambda who=socket_of: lambda client, server: (who, inode))
        assert whose(("127.0.0.1", 1), ("127.0.0.1", 2)) == expected


def test_another_user_needs_the_owners_link_which_is_told_at_the_terminal():
    told = []
    private = Access(whose=lambda client, server: "another's", on_stranger=lambda: told.append(private))
    link = private.links.make("owner")
    client = serve(private)
    assert [client.get("/api/runs").status_code, len(told)] == [401, 1]
    assert client.get("/login", params={"token": link.token}).status_code == 303
    told.clear()
    assert [client.get("/api/runs").status_code, told] == [200, []]


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


def test_nothing_but_scripts_and_styles_stays_in_a_cache(local, shared, access):
    token = access.links.get("owner").token
    for client, path in (
        (local, "/"), (local, "/api/share"), (local, "/view/api/runs/x"), (local, "/gradio_api/file=x.png"),
        (shared, "/"), (shared, "/login"), (shared, f"/login?token={token}"), (shared, "/login?token=wrong"),
    ):  # fmt: skip
        assert client.get(path).headers["cache-control"] == "no-store", path
    assert "cache-control" not in local.get("/assets/index.js").headers
    assert "cache-control" not in local.get("/view/svelte/svelte.js").headers


def test_the_cookie_of_a_shared_page_is_not_asked_for_on_loopback(local):
    cookie = f"{Links().cookie_name}=nonsense"
    assert local.get("/", headers={"Cookie": cookie}).status_code == 200
