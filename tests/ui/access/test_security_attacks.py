"""Attacks on a live server on loopback: what is sent, what comes back, and that nothing is read or written outside."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import socket
import struct
import time
import zipfile
import zlib
from urllib.parse import quote

import pytest
from PIL import Image

from fine_tuner.base.files import open_plain
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.publishing import Published, publish
from tests.ui.attacks import SECRET, Target, served

UP = [
    "../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "..;/", "%252e%252e%252f", "%c0%ae%c0%ae/",
    "..%00/", "..%0d%0a/", "..%ef%bc%8f", "%ef%bc%8e%ef%bc%8e/", ".%2e/", "%2e./", "./../", "..//", "..%2f%2f",
    "%u002e%u002e/", "..%c0%af", "..%25%32%66",
]  # fmt: skip
ENTRIES = [
    "/page/x/{}", "/page/{}", "/api/runs/{}", "/api/runs/{}/weights", "/api/live?run={}", "/api/preview/x/{}",
    "/api/jobs/check/1/{}", "/gradio_api/file={}", "/assets/{}", "/static/{}", "/view/{}", "/view/api/runs/{}", "/{}",
    "/api/loss/file?path={}", "/api/folders?path={}",
]  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    target = Target(tmp_path_factory.mktemp("target"))
    publish(RunFolder(target.root / "runs" / target.shown), Published(run=True, model=True))
    with served(target):
        yield target


@pytest.fixture(autouse=True)
def nothing_outside_changes(target):
    before = target.world()
    yield
    assert target.world() == before


def told(sent: str, code: int, text: str = "") -> None:
    """For ``pytest -rP``: the table of attacks."""
    print(f"{sent[:110]}  ->  {code} {text.partition(chr(13))[0][9:60] if text.startswith('HTTP') else text[:80]}")


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


# ------------------------------------------------------------------ paths
@pytest.mark.parametrize("role", [None, "viewer", "owner"])
def test_no_spelling_of_a_path_leads_outside(target, role):
    codes, outside = set(), str(target.outside)
    for up in UP:
        for entry in ENTRIES:
            spelled = entry.format(f"{up * 9}{outside.lstrip('/')}/secret.txt")
            code, text = target.ask_for(spelled.replace(" ", "%20"), role=role)
            codes.add(code)
            assert SECRET not in text, spelled
            assert code in {400, 401, 404, 405, 403, 422} or "secret" not in text, (spelled, code)
            assert code < 500, (spelled, code, text[-300:])
    told(f"{len(UP)} spellings of ../ x {len(ENTRIES)} routes as {role}", max(codes), f"{sorted(codes)}")


@pytest.mark.parametrize("form", ["{}", "file://{}", "//{}", "%2f{}", "~/..{}", "{}%00.py", "./{}"])
def test_absolute_paths_and_links_out_are_as_missing(target, form):
    missing = target.ask_for("/api/loss/file?path=" + quote("/no/such/file.py"), role="owner")
    for path in (
        target.outside / "secret.py",
        target.root / "data" / "link.py",
        target.root / "data" / "link" / "secret.py",
    ):
        code, text = target.ask_for("/api/loss/file?path=" + form.format(path), role="owner")
        told(f"GET /api/loss/file?path={form} of {path.name}", code)
        assert code == missing[0] == 404
        assert SECRET not in text


def test_missing_and_forbidden_folders_look_the_same(target):
    texts = [
        target.ask_for(f"/api/folders?path={path}", role="owner")[1].partition("\r\n\r\n")[2]
        for path in (target.outside, target.root / "data" / "link", "/root", "/no/such")
    ]
    told("GET /api/folders of forbidden, linked and missing folders", 404, texts[0])
    assert len(set(texts)) == 1


@pytest.mark.parametrize("run", ["..", "../outside", "..%2foutside", "%2e%2e", ".", ".access", "~", "x%00", "\\..\\"])
def test_ids_of_runs_hold_no_path(target, run):
    for route in ("/api/runs/{}", "/view/api/runs/{}", "/api/live?run={}", "/view/api/live?run={}"):
        code, text = target.ask_for(route.format(run), role="owner")
        told(f"GET {route.format(run)}", code)
        assert code in (401, 404, 422) or "fine tuner" in text.lower()
    code, _ = target.ask_for(
        f"/api/share/runs/{run}", role="owner", method="POST", body=b'{"run":true}', Content_Type="application/json"
    )
    assert code in (404, 405, 422)


def test_a_viewer_cannot_tell_a_hidden_run_from_none(target):
    bodies = set()
    for route in (
        "/view/api/runs/{}",
        "/view/api/live?run={}",
        "/view/api/live/detail?run={}&x0=0&x1=1&key=train/loss",
    ):
        for run in (target.hidden, "20261123-000002-nothing"):
            code, text = target.ask_for(route.format(run), role="viewer")
            bodies.add(text.partition("\r\n\r\n")[2])
            assert code == 404
    told("viewer asks for a hidden and a missing run", 404, next(iter(bodies)))
    assert len(bodies) == 1
    assert target.hidden not in target.ask_for("/view/api/runs", role="viewer")[1]


# ------------------------------------------------------------------ other sites, other names
@pytest.mark.parametrize("role", ["owner", "viewer", None])
def test_forms_and_scripts_of_other_sites_are_refused(target, role):
    for path in (
        "/api/plan",
        "/api/share/start",
        f"/api/runs/{target.shown}/stop",
        "/gradio_api/upload",
        f"/view/api/runs/{target.shown}/try",
    ):
        for headers in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
            {"Origin": f"http://127.0.0.1:{target.port}.evil.example"}, {"Origin": f"http://localhost:{target.port}"},
        ):  # fmt: skip
            code, _ = target.ask_for(path, role=role, method="POST", body=b"a=b", **headers)
            told(f"POST {path} with {headers} as {role}", code)
            assert code == 403


def test_a_rebound_name_reaches_only_the_login(target):
    for host in ("evil.example", "127.0.0.1.nip.io", f"evil.example:{target.port}"):
        code, text = target.ask_for("/api/runs", Host=host)
        told(f"GET /api/runs with Host: {host}, no cookie", code)
        assert code == 401
        assert target.shown not in text


def test_cookies_and_tokens_cannot_be_guessed_or_bent(target):
    good = target.cookie("viewer")["Cookie"]
    name, _, value = good.partition("=")
    bent = [value.replace("viewer", "owner"), value[:-2], f"{value}a", "owner...", "." * 5, value.upper(), "x" * 5000]
    codes = {target.ask_for("/api/runs", Cookie=f"{name}={cookie}")[0] for cookie in bent}
    told("bent cookies", max(codes), str(codes))
    assert codes <= {401, 431, 400}
    codes = [target.ask_for(f"/login?token={quote(str(guess))}")[0] for guess in range(30)]
    told("30 guesses at the token", codes[-1], str(sorted(set(codes))))
    assert set(codes) == {401, 429}


def test_headers_about_the_address_are_not_believed(target):
    for name in ("X_Forwarded_For", "X_Real_IP", "Forwarded", "X_Forwarded_Host", "X_Original_URL", "X_Rewrite_URL"):
        code, _ = target.ask_for("/api/runs", **{name: "127.0.0.1"})
        told(f"GET /api/runs with {name}: 127.0.0.1", code)
        assert code == 401


# ------------------------------------------------------------------ bodies
def test_a_body_that_is_too_large_is_cut_off(target):
    for path, role in (("/api/plan", "owner"), (f"/view/api/runs/{target.shown}/try", "viewer")):
        code, _ = target.ask_for(path, role=role, method="POST", Content_Length=str(1 << 40))
        told(f"POST {path} that says it has 1 TiB", code)
        assert code == 413
    chunk = b"100000\r\n" + b"[" * (1 << 20) + b"\r\n"
    head = "".join(f"{k}: {v}\r\n" for k, v in (target.cookie("owner") | {"Host": f"127.0.0.1:{target.port}"}).items())
    request = f"POST /api/plan HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 2 + b"0\r\n\r\n"
    code, _ = target.send(request, seconds=3)
    told("POST /api/plan, 2 MiB in chunks", code)
    assert code in (413, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"argv":' * 50_000,
        b"\xff\xfe",
        b"NaN",
        b'{"argv":["sample"],"number":1e999}',
        b'{"argv":["' + b"x" * 900_000 + b'"]}',
    ],
)
def test_odd_json_is_refused(target, body):
    code, _ = target.ask_for("/api/plan", role="owner", method="POST", body=body, Content_Type="application/json")
    told(f"POST /api/plan with {body[:20]!r}... ({len(body)} bytes)", code)
    assert code in (400, 422)


def test_a_slow_sender_is_hung_up_on_and_others_are_served(target):
    slow = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(40)]
    began = time.monotonic()
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
    assert target.ask_for("/login")[0] == 401
    for connection in slow:
        connection.settimeout(5)
        assert connection.recv(100) == b""  # hung up, without a word
        connection.close()
    seconds = time.monotonic() - began
    told("40 connections that never end their headers", 0, f"all closed after {seconds:.1f} s (limit here 0.5 s)")
    assert seconds < 4


# ------------------------------------------------------------------ uploads
def zip_of(*members: tuple[str, bytes, int]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("zip slip", lambda: zip_of(("../../outside/evil.txt", b"x", 0o644))),
        ("zip with an absolute path", lambda: zip_of(("/tmp/evil.txt", b"x", 0o644))),
        ("zip with a link out", lambda: zip_of(("a/link", b"/etc/passwd", 0o120777))),
        ("zip bomb", lambda: zip_of(*((f"{i}.png", bytes(40 << 20), 0o644) for i in range(4)))),
        ("no zip", lambda: b"PK\x03\x04 nothing"),
        ("polyglot of picture and HTML", lambda: png(1, 1) + b"<script>alert(1)</script>"),
    ],
)
def test_zips_made_to_do_harm_are_refused(target, what, data):
    code, text = target.ask_for("/api/data/upload?name=../../x.zip", role="owner", method="POST", body=data())
    told(f"POST /api/data/upload, {what}", code, text.partition("\r\n\r\n")[2])
    assert code == 422
    assert str(target.root) not in text
    assert target.ask_for("/api/data/upload?name=x.zip", role="viewer", method="POST", body=b"x")[0] == 401


@pytest.mark.parametrize(
    ("what", "data", "code"),
    [
        ("PNG of 50 megapixels", png(10_000, 5_000), 413),
        ("PNG of 4 gigapixels", png(65_535, 65_535), 415),
        ("SVG with a script", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415),
        ("HTML", b"<!doctype html><script>alert(1)</script>", 415),
        ("pickle", pickle.dumps({"a": 1}), 415),
        ("PostScript, a program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
        ("nothing", b"", 415),
    ],
)  # fmt: skip
def test_what_is_no_picture_of_a_size_gets_no_prediction(target, what, data, code):
    asked = len(target.asked)
    got, text = target.ask_for(f"/view/api/runs/{target.shown}/try", role="viewer", method="POST", body=data)
    told(f"POST view/api/runs/ID/try, {what}", got, text.partition("\r\n\r\n")[2])
    assert (got, len(target.asked)) == (code, asked)


def test_a_picture_goes_to_the_model_under_a_name_of_ours_and_is_not_kept(target):
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    route = f"/view/api/runs/{target.shown}/try"
    code, text = target.ask_for(
        route, role="viewer", method="POST", body=picture.getvalue() + b"<script>polyglot</script>"
    )
    told("POST view/api/runs/ID/try, picture with HTML behind it", code, text.partition("\r\n\r\n")[2])
    assert json.loads(text.partition("\r\n\r\n")[2]) == {"prediction": {"label": "ant", "probabilities": {"ant": 1.0}}}
    command = target.asked[-1]
    assert command[:2] == ["predict", target.shown]
    assert command[2].endswith("/picture.png")
    assert (
        target.ask_for(
            route.replace(target.shown, target.hidden), role="viewer", method="POST", body=picture.getvalue()
        )[0]
        == 404
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.svg", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("x.html", "<script>alert(1)</script>"),
    ],
)
def test_a_file_the_owner_uploaded_never_runs_as_a_page(target, name, content):
    head = f'Content-Disposition: form-data; name="files"; filename="../../{name}"'
    body = f"--b\r\n{head}\r\n\r\n{content}\r\n--b--\r\n".encode()
    code, text = target.ask_for(
        "/gradio_api/upload", role="owner", method="POST", body=body, Content_Type="multipart/form-data; boundary=b"
    )
    assert code == 200
    (path,) = json.loads(text.partition("\r\n\r\n")[2])
    code, text = target.ask_for(f"/gradio_api/file={quote(path)}", role="owner")
    head = text.partition("\r\n\r\n")[0].lower()
    told(f"GET /gradio_api/file= of an uploaded {name}", code, head)
    assert "content-security-policy: sandbox; default-src 'none'" in head
    assert "nosniff" in head
    assert target.ask_for(f"/gradio_api/file={quote(path)}", role="viewer")[0] == 401


# ------------------------------------------------------------------ settings
@pytest.mark.parametrize(
    "argv",
    [
        ["sample", "loss.name=!!python/object/apply:os.system ['touch evil']"],
        ["sample", "data.path=!!python/object/new:str ['x']"],
        ["sample", "model.weights=!!python/name:os.system"],
        ["sample", "title=${7*7}{{7*7}}<img src=x onerror=alert(1)>", "optim.lr=!!float .nan"],
        ["../outside/secret.txt"],
        ["sample", "data.path=../outside"],
        ["--help"],
        ["sample", "--runs=/tmp/evil"],
        ["sample; touch evil"],
        ["$(touch evil)"],
    ],
)
def test_settings_are_data_whatever_they_spell(target, argv):
    asked = len(target.asked)
    body = json.dumps({"argv": argv}).encode()
    code, text = target.ask_for("/api/plan", role="owner", method="POST", body=body, Content_Type="application/json")
    told(f"POST /api/plan {argv}", code, text.partition("\r\n\r\n")[2])
    assert code == 200
    assert json.loads(text.partition("\r\n\r\n")[2])["errors"]
    assert len(target.asked) == asked


# ------------------------------------------------------------------ folders that somebody put into the folder of runs
PIPES = [
    "events.jsonl", "series.cache", "summary.json", "worker.lock", "launch.lock", "queued.json", "exit.json",
    "notes.json", "run.json", "config.yaml", "logs/worker.log", "results/val-best/figures.json",
    "examples/about.json", "examples/pictures.jpg", "examples/true.png", "examples/epoch-0001-step-00000010.json",
    "examples/epoch-0001-step-00000010.png",
]  # fmt: skip


def test_no_pipe_in_a_run_s_folder_is_waited_for(target):
    """A folder that somebody copied among the runs; one request that waits for ever holds a thread for ever."""
    run = RunFolder(target.root / "runs" / "20260102-000000-pipes")
    asked = (
        "", "/settings", "/results/val-best", "/examples", "/examples/pictures", "/examples/epoch-0001-step-00000010",
        "/examples/epoch-0001-step-00000010/said",
    )  # fmt: skip
    try:
        for name in PIPES:
            for folder in ("examples", "results/val-best", "logs"):
                (run.path / folder).mkdir(parents=True)
            for file in ("config.yaml", "run.json", "events.jsonl", "examples/epoch-0001-step-00000010.json"):
                (run.path / file).write_text("{}")
            (run.path / name).unlink(missing_ok=True)
            os.mkfifo(run.path / name)
            for path in ("/api/runs", f"/api/live?run={run.id}", *(f"/api/runs/{run.id}{part}" for part in asked)):
                code, _ = target.ask_for(path, role="owner")
                told(f"GET {path}, {name} is a pipe", code)
                assert code in (200, 404, 409), (name, path)
            with pytest.raises(OSError, match=r"no plain file|No such device|removed, moved or replaced"):
                open_plain(run.path / name, append=True).close()
            shutil.rmtree(run.path)
    finally:
        shutil.rmtree(run.path, ignore_errors=True)


def test_whatever_lies_in_a_run_s_folder_every_route_answers(target):
    runs = target.root / "runs"
    odd = {
        "20260101-000000-log-is-folder": ("events.jsonl", None),
        "20260101-000001-info-is-folder": ("run.json", None),
        "20260101-000002-half-a-character": ("run.json", '{"id": "x", "title": "a \\ud800 b"}'),
        "20260101-000003-\u00fcmlaut \u4e2d\u6587": ("run.json", '{"id": "x"}'),
        "20260101-000004-newer": ("run.json", '{"v": 99}'),
        "20260101-000005-laughs": ("config.yaml", "a: &a [x]\nb: *a\n"),
    }
    try:
        for name, (file, content) in odd.items():
            (runs / name).mkdir()
            (runs / name / "config.yaml").write_text("seed: 1\n")
            if content is None:
                (runs / name / file).mkdir()
            else:
                (runs / name / file).write_text(content)
        code, text = target.ask_for("/api/runs", role="owner")
        told("GET /api/runs with odd folders", code)
        assert code == 200
        assert target.shown in text
        for name in odd:
            for path in ("", "/settings", "/export/yaml", "/weights"):
                code, _ = target.ask_for(f"/api/runs/{quote(name)}{path}", role="owner")
                told(f"GET /api/runs/{name}{path}", code)
                assert code in (200, 404, 409), (name, path)
            code, _ = target.ask_for(f"/api/live?run={quote(name)}", role="owner")
            assert code in (200, 404, 409), name
            code, _ = target.ask_for(
                f"/api/runs/{quote(name)}/notes", role="owner", method="POST", body=b'{"note": "x"}',
                Content_Type="application/json", Origin=f"http://127.0.0.1:{target.port}",
            )  # fmt: skip
            assert code in (200, 404, 409), name
    finally:
        for name in odd:
            shutil.rmtree(runs / name, ignore_errors=True)
