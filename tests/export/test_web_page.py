"""The page that needs no server: in Chromium, from a file and from a static host, its answers are those of the app."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fine_tuner.cli.main import main
from fine_tuner.export.web.page import RUNTIME_FILES, RUNTIME_VERSION
from tests.export.conftest import answer_of

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "node_modules" / "onnxruntime-web"
READY = "document.body.dataset.ready || document.querySelector('.problem')"
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def runtime():
    if not RUNTIME.is_dir():
        pytest.skip("onnxruntime-web is not there: npm ci")
    return RUNTIME / "dist"


@pytest.fixture(scope="module")
def page_of(task_runs, runtime, tmp_path_factory):
    """The page of a task as a folder with its runtime."""
    place = tmp_path_factory.mktemp("pages")

    @functools.cache
    def make(task: str) -> Path:
        words = ["export", str(task_runs[task].path), "--format", "web", "--output", str(place / task)]
        assert main([*words, "--runtime", str(runtime)]) == 0
        return place / task

    return make


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Smooth, fine-grained, see-through, turned by EXIF, small: each is decoded and resized in another way."""
    place = tmp_path_factory.mktemp("pictures")
    x, y = np.meshgrid(np.linspace(0, 255, 150), np.linspace(0, 255, 90))
    smooth = Image.fromarray(np.stack([x, y, (x + y) / 2], 2).astype(np.uint8))
    smooth.save(place / "smooth.png")
    noise = np.random.default_rng(0).integers(0, 256, (70, 45, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place / "noise.png")
    clear = smooth.convert("RGBA")
    clear.paste((0, 0, 0, 0), (10, 10, 60, 60))
    clear.save(place / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.resize((50, 30)).save(place / "turned.jpg", quality=95, exif=exif)
    Image.fromarray(noise[:20, :17]).save(place / "small.png")
    return sorted(place.iterdir())


def visit(browser, address: str, *, width: int = 900):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_function(READY, timeout=PATIENCE_MS)
    return page


def ask(page, picture: Path) -> dict[str, float]:
    page.evaluate("delete document.body.dataset.answer")
    page.set_input_files("#file", str(picture))
    page.wait_for_function("document.body.dataset.answer || document.querySelector('.problem')", timeout=PATIENCE_MS)
    assert not page.locator(".problem").count(), page.inner_text("#status")
    return json.loads(page.evaluate("document.body.dataset.answer"))


@pytest.mark.ui
@pytest.mark.parametrize(
    "task",
    [
        "classification",
        "segmentation",
        *(pytest.param(t, marks=pytest.mark.slow) for t in ("multilabel", "regression")),
    ],
)
def test_from_a_file_its_answers_are_those_of_the_app(browser, page_of, pictures, task_runs, task):
    page = visit(browser, (page_of(task) / "index.html").as_uri())
    for picture in pictures:
        found = ask(page, picture)
        expected = answer_of(task_runs[task], picture)
        scale = max(map(abs, expected.values())) if task == "regression" else 1
        assert found == pytest.approx(expected, abs=1e-3 * scale), picture.name
    assert page.complaints == []
    assert not [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))], (
        "nothing leaves the browser"
    )
    page.close()


@pytest.mark.ui
def test_what_is_no_picture_is_told_in_a_sentence_and_the_page_goes_on(browser, page_of, pictures, tmp_path):
    page = visit(browser, (page_of("classification") / "index.html").as_uri(), width=390)
    wrong = tmp_path / "notes.png"
    wrong.write_text("no picture")
    page.set_input_files("#file", str(wrong))
    page.wait_for_selector(".problem")
    assert page.inner_text("#status").startswith("notes.png cannot be shown")
    assert ask(page, pictures[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.ui
def test_one_file_takes_its_runtime_from_the_cdn_only_with_the_right_hash(
    browser, task_runs, runtime, tmp_path, pictures
):
    file = tmp_path / "page.html"
    assert main(["export", str(task_runs["classification"].path), "--format", "html", "--output", str(file)]) == 0
    cut = browser.new_page()
    cut.goto(file.as_uri())
    cut.wait_for_function(READY, timeout=PATIENCE_MS)
    assert "Connect to the internet, or put runtime.js beside this page" in cut.inner_text("#status")
    cut.close()

    for added in (b"", b"\n//"):
        page, served = browser.new_page(), []
        answer = functools.partial(_answer, dist=runtime, added=added, served=served)
        page.route(f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{RUNTIME_VERSION}/dist/*", answer)
        page.goto(file.as_uri())
        page.wait_for_function(READY, timeout=PATIENCE_MS)
        assert set(served) == {name for name, _ in RUNTIME_FILES.values()}
        if added:
            assert "is not to be had" in page.inner_text("#status")
        else:
            assert page.inner_text("#status") == "Drop a picture here"
            expected = answer_of(task_runs["classification"], pictures[0])
            assert ask(page, pictures[0]) == pytest.approx(expected, abs=1e-3)
        page.close()


def _answer(route, *, dist: Path, added: bytes, served: list[str]) -> None:
    """What the CDN would say, with something added."""
    name = route.request.url.rpartition("/")[2]
    served.append(name)
    route.fulfill(body=(dist / name).read_bytes() + added, headers={"Access-Control-Allow-Origin": "*"})


def test_the_hashes_are_those_of_the_npm_package(runtime):
    assert json.loads((RUNTIME / "package.json").read_text())["version"] == RUNTIME_VERSION
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]["onnxruntime-web"]
    assert wanted == RUNTIME_VERSION
    for name, integrity in RUNTIME_FILES.values():
        digest = hashlib.sha384((runtime / name).read_bytes()).digest()
        assert integrity == f"sha384-{base64.b64encode(digest).decode()}"


@pytest.mark.slow
@pytest.mark.ui
def test_from_a_static_host_the_camera_is_looked_at_until_it_is_stopped(browser, page_of):
    handler = functools.partial(QuietHandler, directory=str(page_of("segmentation")))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = visit(browser, f"http://127.0.0.1:{server.server_port}/")
        page.click("#camera")
        for _ in range(2):
            page.evaluate("delete document.body.dataset.answer")
            page.wait_for_function("document.body.dataset.answer", timeout=PATIENCE_MS)
        page.click("#camera")
        page.wait_for_function("document.getElementById('camera').textContent === 'Camera'")
        assert page.complaints == []
        page.close()
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


def test_a_class_named_like_markup_stays_text(task_runs, tmp_path):
    from fine_tuner.export.networks.network import RunNetwork
    from fine_tuner.export.web.page import page_text

    network = RunNetwork(task_runs["classification"], "inside")
    network.about["classes"] = ["</script><script>alert(1)</script>", "<b>", "@SCRIPT@"]
    text = page_text(network, {"Title": "<i>x</i> @ABOUT@ @MODEL@"}, model="<network-of-mine>")
    assert "alert(1)</script>" not in text
    assert "<i>" not in text
    assert (text.count("<network-of-mine>"), text.count('"@SCRIPT@"')) == (1, 1)
    assert "<title>&lt;i&gt;x&lt;/i&gt; @ABOUT@ @MODEL@" in text


def test_wrong_input_is_a_sentence_and_leaves_nothing(task_runs, tmp_path, capsys):
    words = ["export", str(task_runs["classification"].path), "--format", "web", "--output", str(tmp_path / "page")]
    assert main([*words, "--runtime", str(tmp_path)]) == 2
    assert "npm pack onnxruntime-web" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
