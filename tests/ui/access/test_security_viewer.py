"""What viewers are told: of published runs what is named in ``redacted.py``, of others nothing; and how much of it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fine_tuner.base.files import write_json
from fine_tuner.cli.main import main
from fine_tuner.config.metric_specs import ACCURACY
from fine_tuner.launch.assistant import Assistant, Reply
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.publishing import Published, publish, published
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.access import texts
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.limits import POLLS_PER_SECOND, SEEN_SECONDS, Allowance, Meter, VisitorLimits, Watching
from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.access.tunnel import Tunnel
from fine_tuner.ui.api import redacted
from fine_tuner.ui.api.viewer_predictions import RefusedError, Trials, check_picture
from fine_tuner.ui.environment import private_environment
from fine_tuner.ui.form.folders import Allowed
from tests.ui.access.test_security_matrix import routes_of
from tests.ui.canned import in_a_loop, printed, refused
from tests.ui.hand_run import HandRun

HOME = "http://127.0.0.1:7860"
CANARY = "/home/canary/private"  # in every text of a run that is not for viewers
PLENTY = Allowance(1e6, 1e6)
LIMITS = VisitorLimits(
    session=PLENTY, stranger=PLENTY, strangers=PLENTY, asks=PLENTY, viewers=PLENTY, tries=PLENTY, all_tries=PLENTY
)


def secretive_run(root, name: str, *, outcome: str = "failed") -> HandRun:
    """A run with the canary wherever a worker or the owner can write."""
    run = HandRun(
        root, name, title="ants resnet18", device=CANARY, weights=CANARY, notices=[CANARY], loss_code={"loss": CANARY},
        parameters=CANARY, anything=CANARY, best_metric="val/accuracy",
        metrics={"val/accuracy": ACCURACY.facts() | {"x": CANARY}, CANARY: {"label": CANARY}},
    )  # fmt: skip
    run.begin(), run.train(40)
    run.say(f"3 files of {CANARY} were skipped", "warning")
    run.mark("lr", text=CANARY), run.mark(CANARY)
    run.train(1, **{f"train/{CANARY}<script>": 1.0, CANARY: 2.0})
    run.folder.best_weights.parent.mkdir(parents=True, exist_ok=True)
    run.folder.best_weights.write_bytes(b"weights")
    run.folder.log.write_text(CANARY)
    run.folder.config.write_text(f"data: {{path: {CANARY}}}")
    run.finish(outcome, CANARY)
    write_json(run.folder.notes, {"tags": [CANARY], "note": CANARY})
    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    secretive_run(root, "20261123-000001-shown")
    secretive_run(root, "20261123-000002-hidden", outcome="completed")
    publish(RunFolder(root / "20261123-000001-shown"), Published(run=True, model=True))
    return root


@pytest.fixture(scope="module")
def access():
    access = Access(is_private=False)
    access.links.make("owner"), access.links.make("viewer")
    return access


@pytest.fixture(scope="module")
def asked():
    return []


@pytest.fixture(scope="module")
def app(place, access, asked):
    def ask(argv):
        asked.append(list(argv))
        if "fail" in argv[2]:
            return refused("DataError", CANARY)
        value = {"image": argv[2], "overlay": CANARY, "label": "ant", "probabilities": {"ant": 0.9}, "task": CANARY}
        return printed({"run": argv[1], "weights": {"network": CANARY}, "predictions": [value]})

    def no_tunnel(port):
        raise RuntimeError("no network here.")

    with private_environment():
        from fine_tuner.ui.app import build_app

        yield in_a_loop(
            lambda: build_app(
                runs=place,
                allowed=Allowed(roots=(place,)),
                sharing=Sharing(access, tunnel=Tunnel(no_tunnel), limits=LIMITS),
                ask=ask,
            )
        )


def client_of(app, access, role: str) -> TestClient:
    client = TestClient(app, base_url=HOME, follow_redirects=False)
    client.get("/login", params={"token": access.links.get(role).token})
    return client


@pytest.fixture
def viewer(app, access):
    return client_of(app, access, "viewer")


@pytest.fixture
def owner(app, access):
    return client_of(app, access, "owner")


def picture_bytes() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG")
    return data.getvalue()


# ------------------------------------------------------------------ what is told
def test_nothing_of_a_run_but_numbers_and_names_reaches_a_viewer(viewer, owner):
    shown = "20261123-000001-shown"
    paths = [
        "runs", f"runs/{shown}", f"live?run={shown}", "live", f"live?run={shown}&since=0.5",
        f"live/detail?run={shown}&x0=0&x1=99&key=train/loss&key={CANARY}",
    ]  # fmt: skip
    answers = [viewer.get(f"/view/api/{path}") for path in paths]
    answers += [viewer.get(path) for path in ("/view/", "/view/config", "/view/theme.css")]
    assert {answer.status_code for answer in answers} == {200}
    for path, answer in zip(paths, answers, strict=False):
        assert "canary" not in answer.text, path
        assert "hidden" not in answer.text, path
    assert "canary" in owner.get(f"/api/runs/{shown}").text  # it was there to be told


def test_what_is_told_suffices_for_the_charts(viewer):
    shown = "20261123-000001-shown"
    live = viewer.get(f"/view/api/live?run={shown}").json()
    keys = {key for portion in live["curves"] for key in portion["keys"]}
    assert {"train/loss", "train/lr/head", "val/accuracy", "memory/process_mib"} <= keys
    assert (live["state"]["status"], live["state"]["text"], live["state"]["step"]) == ("failed", "The run failed.", 41)
    about = viewer.get(f"/view/api/runs/{shown}").json()
    assert about["title"] == "ants resnet18"
    assert set(about["facts"]["schedule"]["groups"]) == {"head", "backbone"}
    assert about["facts"]["metrics"] == {"val/accuracy": json.loads(json.dumps(ACCURACY.facts()))}
    assert [mark["label"] for mark in about["marks"]] == ["lr", "change"]
    (line,) = viewer.get("/view/api/runs").json()["runs"]
    assert (line["id"], line["best_key"], line["can_try"], line["tags"]) == (shown, "val/accuracy", True, [])


@pytest.mark.parametrize("title", [CANARY, "<img src=x onerror=alert(1)>", "${7*7}", "{{constructor}}", "a\\b"])
def test_a_title_that_is_no_plain_text_gives_way_to_the_id(title):
    assert redacted._title({"title": title, "id": "20261123-x"}) == "20261123-x"


def test_a_new_fact_stays_with_the_owner():
    state = {
        "status": "running",
        "phase": "reading /home/x 1/2",
        "step": 3,
        "text": "Reading /home/x.",
        "new": "secret",
    }
    assert redacted.state(state) == {"status": "running", "phase": "preparing", "step": 3}


# ------------------------------------------------------------------ publishing
def test_a_run_is_hidden_until_it_is_published_and_again_after(owner, viewer):
    hidden = "20261123-000002-hidden"
    for wish, code, can_try in (
        ({"run": True}, 200, False),
        ({"run": True, "model": True}, 200, True),
        ({"run": False}, 404, None),
    ):
        assert owner.post(f"/api/share/runs/{hidden}", json=wish).status_code == 200
        answer = viewer.get(f"/view/api/runs/{hidden}")
        assert (answer.status_code, answer.json().get("can_try")) == (code, can_try)
        assert published(RunStore(owner.app.state.services.store.root).get(hidden)).run is wish["run"]


def test_publishing_keeps_tags_and_survives_what_is_odd(tmp_path):
    run = HandRun(tmp_path, "r1")
    run.die()
    RunStore(tmp_path).annotate("r1", tags=["keep"])
    assert publish(run.folder, Published(model=True)) == published(run.folder) == Published()
    publish(run.folder, Published(run=True, model=True))
    assert json.loads(run.folder.notes.read_text())["tags"] == ["keep"]
    for odd in (True, [], {"run": "yes"}, {"run": 1, "model": True}):
        write_json(run.folder.notes, {"published": odd})
        assert published(run.folder) == Published()


def test_the_same_from_a_terminal(tmp_path, capsys):
    run = HandRun(tmp_path, "r1")
    run.die()
    assert main(["publish", "r1", "--model", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "r1 is shown to viewers, to try too.\n"
    assert published(run.folder) == Published(run=True, model=True)
    assert main(["unpublish", "r1", "--runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == {"run": False, "model": False}


# ------------------------------------------------------------------ trying
def test_a_viewer_tries_a_published_model_and_hears_of_nothing_else(viewer, asked):
    answer = viewer.post("/view/api/runs/20261123-000001-shown/try", content=picture_bytes())
    assert answer.json() == {"prediction": {"label": "ant", "probabilities": {"ant": 0.9}}}
    assert asked[-1][:2] == ["predict", "20261123-000001-shown"]
    assert viewer.post("/view/api/runs/20261123-000002-hidden/try", content=picture_bytes()).status_code == 404


def test_masks_over_the_picture_are_ours_to_draw_and_no_path(tmp_path):
    def draw(argv):
        overlay = Path(argv[argv.index("--overlays") + 1]) / "000.png"
        Image.new("RGB", (4, 4), "red").save(overlay)
        legend = [{"name": "leaf", "colour": "#ff0000"}, {"name": "x", "colour": "red;background:url(//evil)"}]
        return printed({"predictions": [{"shares": {"leaf": 1.0}, "overlay": str(overlay), "legend": legend}]})

    answer = Trials(draw, tmp_path, LIMITS).answer("r1", picture_bytes(), "s")
    head, _, data = answer["overlay"].partition(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (255, 0, 0)
    assert answer["legend"] == [{"name": "leaf", "colour": "#ff0000"}, {"name": "x", "colour": None}]


@pytest.mark.parametrize(
    ("reply", "status"), [(refused("DataError", CANARY), 415), (Reply(1, "", f"Traceback {CANARY}"), 500)]
)
def test_what_went_wrong_is_told_without_paths(tmp_path, reply, status):
    with pytest.raises(RefusedError) as error:
        Trials(lambda argv: reply, tmp_path, LIMITS).answer("r1", picture_bytes(), "s")
    assert error.value.status == status
    assert CANARY not in str(error.value)


def test_viewers_wait_for_their_turn_and_not_for_ever(tmp_path):
    limits = VisitorLimits(tries=PLENTY, all_tries=PLENTY, waiting_tries=1)
    going, begun = threading.Event(), threading.Semaphore(0)

    def slow(argv):
        begun.release()
        going.wait(10)
        return printed({"predictions": [{"label": "ant"}]})

    trials, said = Trials(slow, tmp_path, limits), []
    people = [
        threading.Thread(target=lambda i=i: said.append(trials.answer("r1", picture_bytes(), f"s{i}")))
        for i in range(2)
    ]
    for person in people:
        person.start()
    for _ in people:
        assert begun.acquire(timeout=5)
    for who in ("s0", "s2"):  # one who has asked already, and one too many
        with pytest.raises(RefusedError, match="Many people"):
            trials.answer("r1", picture_bytes(), who)
    going.set()
    for person in people:
        person.join(5)
    assert said == [{"label": "ant"}] * 2
    assert trials.answer("r1", picture_bytes(), "s2") == {"label": "ant"}


def test_one_viewer_gets_so_many_answers_a_minute_and_all_together_so_many(tmp_path):
    limits = VisitorLimits(tries=Allowance(2, 0.001), all_tries=Allowance(3, 0.001))
    trials = Trials(lambda argv: printed({"predictions": [{"label": "ant"}]}), tmp_path, limits)

    def ask(who):
        try:
            return trials.answer("r1", picture_bytes(), who)["label"]
        except RefusedError as refusal:
            return refusal.status

    assert [ask("a"), ask("a"), ask("a"), ask("b"), ask("b")] == ["ant", "ant", 429, "ant", 503]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_pictures_are_told_by_their_content(kind):
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, kind)
    assert check_picture(data.getvalue()) == kind.lower()


def test_predictions_for_viewers_run_at_the_lowest_priority():
    assistant = Assistant(yields=True)
    try:
        assistant.start()
        process = psutil.Process(assistant._process.pid)
        assert process.nice() == 19
        if hasattr(os, "SCHED_IDLE"):
            assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    finally:
        assistant.close()


# ------------------------------------------------------------------ links, watchers, limits
def test_the_owner_sees_links_watchers_and_why_there_is_no_tunnel(owner, viewer, access):
    viewer.get("/view/api/live?run=20261123-000001-shown")
    assert owner.post("/api/share/tunnel").status_code in (200, 409)
    owner.app.state.sharing.port = 7860
    owner.post("/api/share/tunnel")
    deadline = time.monotonic() + 5
    while (state := owner.get("/api/share").json())["tunnel"]["status"] == "opening":
        assert time.monotonic() < deadline
    assert state["tunnel"]["error"] == texts.NO_TUNNEL.format(error="no network here")
    assert "20261123-000001-shown" in {one["run"] for one in state["watching"]}
    link = state["links"]["viewer"]
    assert link["texts"] == [f"http://127.0.0.1:7860/login?token={access.links.get('viewer').token}"]
    assert len({len(row) for row in link["qr"]} | {len(link["qr"])}) == 1
    assert {c for row in link["qr"] for c in row} == {"0", "1"}


def test_a_new_link_ends_the_old_ones_sessions_and_keeps_the_owner_in(app, access):
    viewer, owner = client_of(app, access, "viewer"), client_of(app, access, "owner")
    assert viewer.get("/view/api/runs").status_code == 200
    assert owner.post("/api/share/links/viewer", json={"seconds": 3600}).status_code == 200
    assert viewer.get("/view/api/runs").status_code == 401
    answer = owner.post("/api/share/links/owner", json={"seconds": 3600}).json()
    assert owner.get("/api/share").status_code == 401
    assert owner.get(f"/{answer['login']}").status_code == 303
    assert owner.post("/api/share/links/viewer/revoke").json()["links"]["viewer"] is None
    assert owner.get("/api/share").status_code == 200
    access.links.make("viewer")


@pytest.mark.parametrize("seconds", [0, 59, -1, "x", 1e9])
def test_an_odd_expiry_is_refused(app, access, seconds):
    assert client_of(app, access, "owner").post("/api/share/links/viewer", json={"seconds": seconds}).status_code == 422


def test_watchers_are_counted_while_they_ask():
    watching = Watching()
    watching.saw("a", "r1", now=100), watching.saw("b", now=101), watching.saw("a", now=110)
    assert [(w.since, w.seen, w.run) for w in watching.now(now=111)] == [(100, 110, "r1"), (101, 101, "")]
    assert len(watching.now(now=101 + SEEN_SECONDS + 1)) == 1
    watching.saw("a", now=500)
    assert [w.since for w in watching.now(now=500)] == [500]


def test_a_clock_that_is_set_adds_no_watcher_and_takes_none_away(monkeypatch):
    watching, real = Watching(), time.time
    watching.saw("a")
    for moved in (7200, -7200):
        monkeypatch.setattr(time, "time", lambda moved=moved: real() + moved)
        assert len(watching.now()) == 1


def test_the_more_people_watch_the_less_often_each_asks(app, access, viewer):
    path = "/view/api/live?run=20261123-000001-shown"
    watching = app.state.sharing.watching
    assert viewer.get(path).json()["beat"] == 1000 * max(1, len(watching.now()) / POLLS_PER_SECOND)
    for i in range(10 * POLLS_PER_SECOND):
        watching.saw(f"crowd{i}")
    time.sleep(0.5)  # the answer made before is kept for 0.4 s
    assert viewer.get(path).json()["beat"] >= 10_000


def test_a_meter_gives_a_burst_then_a_rate_and_forgets_the_oldest():
    meter, allowance = Meter(), Allowance(3, 2)
    assert [meter.take("k", "a", allowance, now=0) for _ in range(4)] == [True, True, True, False]
    assert [meter.take("k", "a", allowance, now=0.5) for _ in range(2)] == [True, False]
    assert meter.take("k", "b", allowance, now=0.5)
    for i in range(5000):
        meter.take("k", f"x{i}", allowance, now=1)
    assert len(meter._left) <= 2000


# ------------------------------------------------------------------ anything at all
TEXT = st.text(max_size=40)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8
)  # fmt: skip
FIELDS = [
    "argv", "run", "model", "seconds", "path", "text", "base", "section", "visitor", "number", "draw", "title", "tags",
]  # fmt: skip
BODY = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4) | JSON
QUERY = st.dictionaries(st.sampled_from([*FIELDS, "since", "key", "x0", "x1", "task", "name", "ids"]), TEXT, max_size=4)
STARTS_WORK = ("/api/share/start", "/api/share/tunnel")


@pytest.mark.parametrize("role", ["viewer", "owner"])
def test_no_request_breaks_a_route_or_makes_it_tell(app, access, role):
    ours = sorted(r for r in routes_of(app.routes) if r[1].startswith(("/api/", "/view/api/", "/page/")))
    routes = [(method, path) for method, path in ours if not path.startswith(STARTS_WORK)]
    assert len(routes) > 25
    client = TestClient(app, base_url=HOME, follow_redirects=False, raise_server_exceptions=False)
    link = access.links.get(role) or access.links.make(role)
    headers = {"Cookie": f"{access.links.cookie_name}={access.links.open_session(link)[0]}"}
    headers["Content-Type"] = "application/json"
    codes = set()
    answered = ("GET", "/api/runs" if role == "owner" else "/view/api/runs")  # what is drawn varies with what is loaded
    assert answered in routes

    @example(answered, ["x"] * 4, {}, {})
    @settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(routes), st.lists(TEXT, min_size=4, max_size=4), QUERY, BODY)
    def attack(route, parts, query, body):
        waiting = iter(parts)
        path = re.sub(r"\{[^}]+\}", lambda _: quote(next(waiting) or "x", safe=""), route[1])
        content = json.dumps(body).encode("utf-8", "surrogatepass") if route[0] == "POST" else None
        answer = client.request(route[0], path, params=query, content=content, headers=headers)
        codes.add(answer.status_code)
        assert answer.status_code < 500, answer.text[:500]
        assert role == "owner" or "canary" not in answer.text

    attack()
    assert {200, 404, 422 if role == "owner" else 401} <= codes  # it got past the guard, into the routes


def test_a_curve_without_a_band_and_a_log_that_is_being_read_reach_a_viewer_as_they_are():
    portion = {"keys": ["train/loss", "train/lr/head"], "level": 2, "x": [4], "t": [0.5], "y": [[0.5], [1e-3]]}
    portion |= {"lo": [[0.4], None], "hi": [[0.6], None]}
    answer = {"run": "r", "cursor": "0.4", "reset": False, "state": None, "curves": [portion]}
    assert redacted.live(answer)["curves"] == [portion]
    assert "reading" not in redacted.live(answer)
    assert redacted.live(answer | {"reading": 0.25})["reading"] == 0.25
