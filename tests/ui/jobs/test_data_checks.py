"""The page's way to data: check, recognition, upload; each through its route, the check in its real process."""

from __future__ import annotations

import io
import os
import stat
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from fine_tuner.base.progress import no_progress
from fine_tuner.config.argv import check_argv
from fine_tuner.config.io import replace
from fine_tuner.config.settings import Settings
from fine_tuner.data.files.archives import unpack
from fine_tuner.data.files.uploads import UNUSED_SECONDS, Uploads
from fine_tuner.launch.assistant import Assistant
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs import data_routes
from fine_tuner.ui.jobs.data_routes import DataRoutes
from fine_tuner.ui.jobs.job_routes import JobRoutes
from fine_tuner.ui.jobs.kinds import Jobs
from fine_tuner.ui.jobs.questions import Questions
from tests.ui.canned import printed

LONGEST_SECONDS = 30


def write_pictures(folder: Path, count: int, *, first: int = 0) -> None:
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 16)).save(folder / f"{i}.png")


def zipped(*names: str, content: bytes = b"x") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return data.getvalue()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    """One process for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINE_TUNER_CACHE", str(tmp_path_factory.mktemp("cache")))
        checker = Assistant()
        yield checker
        checker.close()


@pytest.fixture
def client(root, checker):
    """The routes of checks and data; ``asked`` holds what was asked of the command line."""
    asked: list[list[str]] = []

    def ask(argv):
        asked.append(list(argv))
        return printed({"task": "segmentation", "tasks": ["segmentation"], "layout": "masks", "words": "masks"})

    allowed = Allowed(roots=(root.resolve(),))
    app = FastAPI()
    app.include_router(JobRoutes(Jobs(allowed, checker=checker)).router())
    app.include_router(
        DataRoutes(Questions(ask), allowed, Uploads(root / "uploads"), roots=allowed.roots, max_bytes=20_000).router()
    )
    with TestClient(app) as client:
        client.asked = asked
        yield client


def finished(client: TestClient) -> dict:
    end = time.monotonic() + LONGEST_SECONDS
    while (state := client.get("/api/jobs/check").json())["status"] == "running" and time.monotonic() < end:
        time.sleep(0.05)
    return state


# ------------------------------------------------------------------ check
def test_check_finds_what_is_wrong_shows_it_and_its_remedy_mends_it(client, root):
    write_pictures(root / "train" / "a", 12)
    write_pictures(root / "train" / "b", 12, first=20)
    write_pictures(root / "val" / "a", 2)  # the same as two of train
    write_pictures(root / "val" / "b", 2, first=50)
    (root / "train" / "a" / "cut.png").write_bytes((root / "train" / "a" / "1.png").read_bytes()[:60])
    argv = ["default", f"data.path={root}"]
    assert client.post("/api/jobs/check", json={"argv": argv}).json()["status"] == "running"
    state = finished(client)
    assert state["status"] == "done"
    findings = {finding["code"]: finding for finding in state["result"]["findings"]}
    assert findings["unreadable"]["examples"][0]["thumbnails"] == [None]
    names = findings["duplicates_across"]["examples"][0]["thumbnails"]
    picture = client.get(f"/api/jobs/check/{state['number']}/{names[0]}")
    assert picture.headers["content-type"] == "image/png"
    assert client.get(f"/api/jobs/check/{state['number'] + 1}/{names[0]}").status_code == 404
    assert client.get(f"/api/jobs/check/{state['number']}/..%2F..%2Fetc%2Fpasswd").status_code == 404

    remedies = (
        findings["unreadable"]["remedies"][0]["settings"] | findings["duplicates_across"]["remedies"][0]["settings"]
    )
    argv += [f"{path}={value}" for path, value in remedies.items()]
    client.post("/api/jobs/check", json={"argv": argv})
    report = finished(client)["result"]
    assert report["can_train"]
    assert {finding["level"] for finding in report["findings"]} == {"note"}


def test_a_newer_check_takes_the_place_of_the_one_before_and_cancel_ends_it(client, root):
    write_pictures(root / "a", 3)
    write_pictures(root / "b", 3, first=20)
    first = client.post("/api/jobs/check", json={"argv": ["default", f"data.path={root}"]}).json()
    second = client.post("/api/jobs/check", json={"argv": ["default", f"data.path={root}", "seed=5"]}).json()
    assert second["number"] == first["number"] + 1
    assert client.post("/api/jobs/check/cancel", json={}).json()["status"] == "cancelled"
    assert finished(client)["status"] == "cancelled"
    client.post("/api/jobs/check", json={"argv": ["default", f"data.path={root}"]})
    assert finished(client)["result"]["splits"] == {"train": 4, "val": 2}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty: it is empty. Give a folder"),
        ("one", "has one class only ('cats')"),
        ("loose", "loose: it holds 2 images. Give a folder"),
        ("notes.zip", "is damaged or not a zip"),
    ],
)
def test_unusable_data_is_a_finding_with_the_words_of_the_reader(client, root, name, message):
    (root / "empty").mkdir()
    write_pictures(root / "one" / "cats", 2)
    write_pictures(root / "loose", 2)
    (root / "notes.zip").write_text("no zip")
    client.post("/api/jobs/check", json={"argv": ["default", f"data.path={root / name}"]})
    (finding,) = finished(client)["result"]["findings"]
    assert finding["level"] == "error"
    assert message in finding["text"]


def test_a_place_outside_of_the_allowed_folders_is_not_looked_at(client, tmp_path):
    before = client.get("/api/jobs/check").json()
    state = client.post("/api/jobs/check", json={"argv": ["default", f"data.path={tmp_path}"]}).json()
    assert state["status"] == "failed"
    assert "no file or folder" in state["errors"]["data.path"]
    assert client.get("/api/jobs/check").json() == before
    answer = client.post("/api/data/recognise", json={"path": str(tmp_path)}).json()
    assert "no file or folder" in answer["errors"]["data.path"]
    assert client.asked == []


def test_page_and_command_ask_for_the_same_check():
    settings = replace(
        Settings(), "data.path=x", "task=segmentation", "loss.name=dice", "data.mask_values=[0,255]", "optim.lr=0.1",
        "train.batch_size=7", "seed=3",
    )  # fmt: skip
    assert check_argv(settings) == [
        "check-data", "x", "--task", "segmentation", "data.mask_values=[0, 255]", "train.batch_size=7", "seed=3",
    ]  # fmt: skip


def test_recognition_is_asked_of_the_command_line(client, root):
    answer = client.post("/api/data/recognise", json={"path": str(root)}).json()
    assert answer["value"]["task"] == "segmentation"
    assert client.asked == [["recognise", str(root), "--json"]]


# ------------------------------------------------------------------ upload
def upload(client: TestClient, content: bytes, name: str = "photos.zip", **headers: str):
    return client.post("/api/data/upload", params={"name": name}, content=content, headers=headers)


def test_a_zip_is_kept_once_whatever_it_is_called(client, root):
    content = zipped("a/1.png", "b/2.png")
    place = Path(upload(client, content, "../../my photos.zip").json()["path"])
    assert place.read_bytes() == content
    assert place.is_relative_to(root / "uploads")
    assert place.suffix == ".zip"
    assert ".." not in place.name
    assert upload(client, content, "again.zip").json()["path"] == str(place)
    assert len(list((root / "uploads").rglob("*.zip"))) == 1


@pytest.mark.parametrize(
    ("content", "name", "status", "message"),
    [
        (zipped("../../evil.txt"), "x.zip", 422, "x.zip holds '../../evil.txt', which reaches out of its folder"),
        (zipped("/etc/evil"), "x.zip", 422, "reaches out of its folder"),
        (b"no zip", "x.zip", 422, "x.zip is damaged or not a zip"),
        (b"", "x.zip", 422, "x.zip is damaged or not a zip"),
        (zipped(), "x.zip", 422, "x.zip holds no files"),
        (zipped("a"), "x.tar", 422, "x.tar is no zip"),
        (zipped("a", content=bytes(30_000)), "x.zip", 413, "The zip is larger than 0.0191 MiB"),
    ],
    ids=["traversal", "absolute", "text", "empty", "no files", "tar", "large"],
)
def test_a_bad_zip_is_refused_in_words_and_leaves_nothing_behind(client, root, content, name, status, message):
    answer = upload(client, content, name)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert str(root) not in answer.json()["detail"]
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_zip_that_cannot_be_kept_is_answered_with_the_folder_and_the_variable_to_set(client, root):
    (root / "uploads").write_text("a file where the folder would be")
    answer = upload(client, zipped("a/1.png"))
    assert answer.status_code == 507
    assert f"could not be kept in {root / 'uploads'}" in answer.json()["detail"]
    assert "FINE_TUNER_CACHE" in answer.json()["detail"]


def test_a_body_that_is_longer_than_its_header_says_is_cut_off(client, root):
    answer = client.post("/api/data/upload", params={"name": "x.zip"}, content=iter([bytes(9000)] * 5))
    assert answer.status_code == 413
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_what_was_brought_is_for_this_user_alone_is_listed_and_can_be_removed(client, root, tmp_path, monkeypatch):
    monkeypatch.setenv("FINE_TUNER_CACHE", str(tmp_path / "cache"))
    place = Path(upload(client, zipped("a/1.png", "b/2.png"), "photos.zip").json()["path"])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (place, place.parent, root / "uploads")]
    assert modes == [0o600, 0o700, 0o700]
    unpacked = unpack(place, no_progress)
    told = client.get("/api/data/uploads").json()
    assert told["folder"] == str(root / "uploads")
    (kept,) = told["uploads"]
    assert kept["path"] == str(place)
    assert kept["bytes"] == place.stat().st_size + sum(p.stat().st_size for p in unpacked.rglob("*") if p.is_file())
    for path in (str(root / "uploads"), str(place.parent), "/etc/passwd", f"{place.parent}/../{place.parent.name}"):
        assert client.post("/api/data/uploads/remove", json={"path": path}).status_code == 404
    assert place.exists()
    assert client.post("/api/data/uploads/remove", json={"path": str(place)}).json()["uploads"] == []
    assert not place.parent.exists()
    assert not unpacked.exists()


def test_what_nobody_used_for_a_month_goes_unless_a_run_needs_it(root):
    uploads = Uploads(root / "uploads")
    places = []
    for name in ("old", "needed", "new"):
        draft = uploads.draft()
        draft.write_bytes(zipped(f"{name}/1.png"))
        places.append(uploads.keep(draft, f"{name}.zip"))
    torn = uploads.draft()
    now = time.time()
    for path in (*places[:2], torn):
        os.utime(path, (now - UNUSED_SECONDS - 60,) * 2)
    assert uploads.sweep(is_needed=lambda path: path == places[1], now=now) == [places[0]]
    assert [path.exists() for path in (*places, torn)] == [False, True, True, False]
    os.utime(places[1], (now - UNUSED_SECONDS - 60,) * 2)
    uploads.use(str(places[1]))
    assert uploads.sweep(is_needed=lambda path: False, now=now) == []


def test_zips_together_take_no_more_than_their_share(client, root, monkeypatch):
    assert upload(client, zipped("a", content=bytes(3000)), "a.zip").status_code == 200
    monkeypatch.setattr(data_routes, "MAX_TOTAL_BYTES", 4000)
    answer = upload(client, zipped("b", content=bytes(3000)), "b.zip")
    assert answer.status_code == 413
    assert "more in" in answer.json()["detail"]
    assert "Remove zips" in answer.json()["detail"]
