"""The application: what its routes answer, to whom, and how it starts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import gradio as gr
import psutil
import pytest
from fastapi.testclient import TestClient

from fine_tuner.base.errors import InputError
from fine_tuner.config.io import read_tree
from fine_tuner.config.presets import load_preset
from fine_tuner.config.settings import Settings
from fine_tuner.launch.assistant import Reply
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs.store import RunStore
from fine_tuner.ui import command_line, static
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.environment import private_environment, sweep_temporary_folders
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import values_of
from fine_tuner.ui.form.inputs import INPUTS
from fine_tuner.ui.form.setup_page import SetupPage
from fine_tuner.ui.form.updates import StartResult
from fine_tuner.ui.jobs.previews import Previews
from fine_tuner.ui.jobs.questions import Questions
from fine_tuner.ui.jobs.start import RunStarter
from fine_tuner.ui.pages.try_page import TryPage
from fine_tuner.ui.server import Options, data_roots, listen, runs_folder
from tests.ui.canned import Canned, in_a_loop, printed, refused

HOME = "http://127.0.0.1:7860"
TOKENS = Access(is_private=False)
OWNER = TOKENS.links.make("owner")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "data" / "ants").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def canned() -> Canned:
    return Canned()


@pytest.fixture(scope="module", params=["local", "shared"])
def app(request, root, canned):
    with private_environment():
        from fine_tuner.ui.app import build_app

        access = TOKENS if request.param == "shared" else Access()
        allowed = Allowed(roots=(root,))
        yield in_a_loop(lambda: build_app(runs=root / "runs", allowed=allowed, sharing=Sharing(access), ask=canned))


@pytest.fixture
def visitor(app) -> TestClient:
    """Nobody in particular."""
    return TestClient(app, base_url=HOME, follow_redirects=False)


@pytest.fixture
def owner(visitor) -> TestClient:
    visitor.get("/login", params={"token": OWNER.token})
    return visitor


# ------------------------------------------------------------------ the page
def test_the_page_is_served_with_its_scripts_and_asks_no_other_host(owner):
    page = owner.get("/")
    assert page.status_code == 200
    assert "window.FTPage = import(" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("styles/form.css", "styles/style.css"):
        assert f"page/{static._version()}/{name}" in page.text


def test_scripts_are_compressed_and_kept_for_ever_under_their_version(owner):
    answer = owner.get(f"/{static.address_of('page.js')}")
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text == (static.ASSETS / "page.js").read_text()
    assert owner.get("/page/old/page.js").headers["cache-control"] == "no-store"


def test_plotly_comes_from_its_package(owner):
    answer = owner.get(f"/{static.address_of('plotly.min.js')}")
    assert answer.status_code == 200
    assert "plotly.js v" in answer.text[:400]


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "nothing.js", "%2e%2e/pyproject.toml", "form.css/x", ".", "page"]
)
def test_only_assets_are_served_as_assets(owner, name):
    assert owner.get(f"/page/{static._version()}/{name}").status_code in (404, 401)


# ------------------------------------------------------------------ who may
@pytest.mark.parametrize(
    "path",
    ["/api/plan", "/api/runs/x/stop", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/run/on_change"],
)
def test_another_site_changes_nothing(owner, path):
    assert owner.post(path, json={}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_gradio_opens_nothing_to_other_origins(owner):
    answer = owner.get("/config", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_there_is_no_way_around_the_queue(owner):
    queued = [d["api_name"] for d in owner.get("/config").json()["dependencies"] if d["queue"]]
    assert queued
    for name in queued:
        assert owner.post(f"/gradio_api/run/{name}", json={"data": []}).status_code == 404


def test_handlers_check_the_owner_once_more(root, canned):
    page = SetupPage(allowed=Allowed(roots=(root,)), weights_of=lambda _: (), start=pytest.fail)
    shown = [values_of(Settings())[spec.key] for spec in INPUTS]
    with pytest.raises(gr.Error, match="read-only"):
        page.on_train("{}", gr.Request(username="viewer"), *shown)
    questions = Questions(canned)
    trial = TryPage(store=RunStore(root / "runs"), questions=questions, previews=Previews(questions))
    with pytest.raises(gr.Error, match="read-only"):
        trial.on_change("x", "x.png", gr.Request(username=None))


# ------------------------------------------------------------------ routes of the set-up
def test_a_plan_is_asked_for_settings_that_are_valid(owner, canned):
    answer = owner.post("/api/plan", json={"argv": ["sample", "optim.lr=0.25"]}).json()
    assert answer["value"]["total_steps"] == 160
    assert canned.asked[-1] == ["plan", "sample", "optim.lr=0.25", "--json"]


@pytest.mark.parametrize(
    ("argv", "path", "message"),
    [
        (["sample", "optim.lr=abc"], "optim.lr", "'abc' is not a number > 0"),
        (["sample", "optim.rate=1"], "optim.rate", "unknown setting"),
        (["sample", "data.path=/etc"], "data.path", "no file or folder '/etc'"),
        (["sample", "model.weights=/etc/passwd"], "model.weights", "no file or folder"),
        (["../../etc/passwd"], "preset", "neither a file nor a preset"),
    ],
)
def test_wrong_settings_are_told_and_not_passed_on(owner, canned, argv, path, message):
    before = len(canned.asked)
    answer = owner.post("/api/plan", json={"argv": argv}).json()
    assert answer["value"] is None
    assert message in answer["errors"][path]
    assert len(canned.asked) == before


def test_what_the_data_check_finds_comes_back_at_the_field(owner, root):
    (root / "one-class").mkdir(exist_ok=True)
    answer = owner.post("/api/plan", json={"argv": ["default", f"data.path={root / 'one-class'}"]}).json()
    assert "one class only" in answer["errors"]["data.path"]


@pytest.mark.parametrize("body", [{}, {"argv": "sample"}, {"argv": ["x"] * 201}, {"argv": ["x" * 4097]}, {"argv": [1]}])
def test_a_question_of_the_wrong_shape_is_refused(owner, body):
    assert owner.post("/api/plan", json=body).status_code == 422


def test_pictures_of_a_preview_can_be_fetched(owner):
    (image,) = owner.post("/api/preview", json={"argv": ["sample"], "draw": 1}).json()["value"]["images"]
    answer = owner.get(f"/{image['url']}")
    assert (image["label"], answer.headers["content-type"], answer.content[:4]) == ("leaf", "image/png", b"\x89PNG")
    assert owner.get("/api/preview/none/00.png").status_code == 404


def test_folders_below_the_roots_can_be_browsed(owner, root):
    assert owner.get("/api/folders").json()["folders"] == [str(root)]
    assert owner.get("/api/folders", params={"path": str(root / "data")}).json()["folders"] == ["ants"]
    missing, outside = (owner.get("/api/folders", params={"path": p}) for p in (f"{root}/none", "/etc"))
    assert (missing.status_code, missing.text) == (outside.status_code, outside.text) == (404, missing.text)


def test_there_is_no_task_that_there_is_not(owner):
    assert owner.get("/api/networks", params={"task": "detection"}).status_code == 404


# ------------------------------------------------------------------ handlers as plain functions
@pytest.fixture(scope="module")
def setup_page(root):
    page = SetupPage(
        allowed=Allowed(roots=(root,)),
        weights_of=lambda _: (),
        start=lambda settings, parent: StartResult(run=settings.model.name, message=parent or ""),
    )

    def draw():
        with gr.Blocks(analytics_enabled=False):
            page.build()
            page.wire()

    in_a_loop(draw)
    return page


def test_a_change_redraws_only_what_it_touches(setup_page):
    shown = values_of(load_preset("sample"))
    first = setup_page.on_change("{}", *shown.values())[setup_page.state]
    changed = setup_page.on_change(first, *(shown | {"optim.name": "SGD"}).values())
    keys = {key for key, widget in setup_page.widgets.items() if widget in changed}
    assert {"optim.name", "optim.momentum@SGD"} <= keys
    assert all(key.startswith(("optim.", "more:")) for key in keys)


def test_a_stamp_that_is_no_stamp_does_no_harm(setup_page):
    shown = values_of(load_preset("sample"))
    for stamp in ("", "null", "[]", "{", '{"load": ["nothing"]}'):
        assert setup_page.state in setup_page.on_change(stamp, *shown.values())


def test_train_starts_what_the_form_says_and_nothing_if_it_is_wrong(setup_page):
    shown, request = values_of(load_preset("sample")), gr.Request(username="owner")
    good = setup_page.on_train("{}", request, *shown.values())
    assert '"run": "shufflenet_v2_x0_5"' in good[setup_page.launch]
    clone = setup_page.on_train('{"parent": "20261123-run"}', request, *shown.values())
    assert '"message": "20261123-run"' in clone[setup_page.launch], "who it was cloned from reaches the start"
    bad = setup_page.on_train("{}", request, *(shown | {"train.epochs": "0"}).values())
    assert '"run": null' in bad[setup_page.launch]
    assert "ft-train-epochs" in bad[setup_page.state]


# ------------------------------------------------------------------ starting a run
@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher(RunStore(tmp_path / "runs"), command=lambda run: [sys.executable, "-c", "pass"])
    yield launcher
    launcher.close()


def test_a_start_makes_the_run_that_the_command_describes(tmp_path, launcher):
    store = RunStore(tmp_path / "runs")
    outcome = RunStarter(store, launcher, Questions(lambda _: printed({}))).start(load_preset("sample"))
    run = store.get(outcome.run)
    assert read_tree(run.config)["model"]["name"] == "shufflenet_v2_x0_5"
    assert launcher.wait(run, timeout=20)


def test_data_that_cannot_be_used_leaves_no_run_behind(tmp_path, launcher):
    store = RunStore(tmp_path / "runs")
    ask = Questions(lambda _: refused("DataError", "It has one class only."))
    outcome = RunStarter(store, launcher, ask).start(load_preset("sample"))
    assert outcome.run is None
    assert outcome.errors == {"data.path": "It has one class only."}
    assert store.ids() == []


def test_an_assistant_that_died_keeps_nobody_from_training(tmp_path, launcher):
    store = RunStore(tmp_path / "runs")
    ask = Questions(lambda _: Reply(137, "", "The assistant process ended unexpectedly."))
    outcome = RunStarter(store, launcher, ask).start(load_preset("sample"))
    assert launcher.wait(store.get(outcome.run), timeout=20)


# ------------------------------------------------------------------ starting the app
def test_a_taken_port_that_was_asked_for_is_an_error_with_a_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"Cannot listen on 127\.0\.0\.1, port \d+ .*--port"):
            listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", None), ("no.such.name.invalid", 7860), ("127.0.0.1", 99_999)])
def test_an_address_that_is_not_this_machines_is_an_error_with_a_way_out(host, port):
    with pytest.raises(InputError, match=r"Cannot listen on .* Give an address of this machine with --host"):
        listen(host, port)


def test_without_a_wish_the_next_free_port_is_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("fine_tuner.ui.server.DEFAULT_PORT", taken.getsockname()[1])
        listener = listen("127.0.0.1", None)
        assert listener.getsockname()[1] > taken.getsockname()[1]
        listener.close()


@pytest.mark.parametrize(
    ("argv", "is_private"),
    [([], True), (["--host", "::1"], True), (["--host", "0.0.0.0"], False), (["--share"], False)],
)
def test_only_a_loopback_address_without_a_tunnel_is_private(argv, is_private):
    assert Options(**vars(command_line.parse_arguments(argv))).is_private is is_private


def test_a_shared_app_does_not_open_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path.home().resolve() in data_roots(Options())
    assert data_roots(Options(share=True)) == (tmp_path.resolve(),)


def test_a_data_root_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is not a folder on this machine"):
        data_roots(Options(data_root=[tmp_path / "none"]))


def test_a_runs_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Choose one with --runs"):
        runs_folder(tmp_path / "file" / "runs")


def test_the_apps_files_are_private_and_go_with_it(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with private_environment() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "upload").touch()
    assert not folder.exists()


def test_what_a_killed_app_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    code = (
        "import sys, time, tempfile\nfrom fine_tuner.ui.environment import private_environment\n"
        "with private_environment() as folder:\n    print(tempfile.mkdtemp(), flush=True)\n    time.sleep(60)\n"
    )
    apps = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, alive = [Path(app.stdout.readline().strip()) for app in apps]
    apps[0].kill(), apps[0].wait()
    (tmp_path / "fine-tuner-app-of-somebody").mkdir()  # without a lock: not one of ours
    with private_environment():
        assert (killed.parent.exists(), alive.exists()) == (False, True)
    apps[1].kill(), apps[1].wait()
    for app in apps:
        app.stdout.close()
    assert sweep_temporary_folders() == [alive.parent]
    assert (tmp_path / "fine-tuner-app-of-somebody").exists()


UNDER_WAY = {
    "asked": b'POST /api/plan HTTP/1.1\r\nContent-Length: 19\r\n%s\r\n{"argv": ["sample"]}',
    "half sent": b'POST /api/plan HTTP/1.1\r\nContent-Length: 99\r\n%s\r\n{"argv": ["sam',
    "streamed": b"GET /gradio_api/heartbeat/abc HTTP/1.1\r\n%s\r\n",
    "between two": b"GET /api/runs HTTP/1.1\r\n%s\r\n",
}


def until_closed(connection: socket.socket) -> None:
    """Read an answer, or nothing, until the other end hangs up."""
    with suppress(ConnectionResetError):
        while connection.recv(1 << 16):
            pass


@pytest.mark.parametrize("ends", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["once", "twice"])
def test_the_app_ends_in_silence_with_every_process_folder_and_request_that_served_the_page_only(tmp_path, ends):
    command = [sys.executable, "app.py", "--no-browser", "--port", "0", "--runs", str(tmp_path / "runs")]
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=static.ASSETS.parent, env=environment, **pipes) as app, ExitStack() as stack:
        port = int(re.fullmatch(r"Fine Tuner: http://127\.0\.0\.1:(\d+)/\n", app.stdout.readline())[1])
        children: list[psutil.Process] = []
        while not children:  # the assistant
            assert app.poll() is None
            time.sleep(0.05)
            children = psutil.Process(app.pid).children(recursive=True)
        head = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n".encode()
        for request in UNDER_WAY.values():
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            connection.sendall(request % head)
            stack.callback(until_closed, connection)
        connection.recv(1)  # of the last one; loading torch takes the assistant longer
        for end in ends:
            app.send_signal(end)
            time.sleep(0.2)
        assert app.wait(60) == 0
        assert app.stderr.read() == ""
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert list((tmp_path / "tmp").iterdir()) == []
