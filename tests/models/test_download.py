"""Downloads from a server on this machine, through torch.hub's own code."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fine_tuner.base.errors import WeightsError
from fine_tuner.models.pretrained.download import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/gone-12345678.pth":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        half = len(CONTENT) // 2
        self.wfile.write(CONTENT[:half])
        self.wfile.flush()
        if self.path.startswith("/cut/"):
            return
        if self.path.startswith("/slow/"):
            self.server.may_go_on.wait(10)
        self.wfile.write(CONTENT[half:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.may_go_on = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.may_go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def get(url, target, progress=None):
    return download(url, target, size_mib=1.0, label="Net_Weights.V1", progress=progress)


def test_a_download_is_whole_and_in_place_with_progress(server, tmp_path):
    target, told = tmp_path / "cache" / NAME, []

    def progress(what, done, total):
        told.append((what, done, total))
        server.may_go_on.set()

    assert get(f"{server.url}/slow/{NAME}", target, progress) == target
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == [NAME]
    assert told[0] == (f"Downloading {NAME} (MiB)", 0.5, 1.0)
    assert told[-1][1] == 1.0
    assert socket.getdefaulttimeout() is None


def test_what_is_in_the_cache_is_not_asked_for(tmp_path):
    target = tmp_path / NAME
    target.write_bytes(b"mine")
    assert get("http://127.0.0.1:1/never", target).read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone-12345678.pth", "the server answered 404 Not Found"),
        ("net-00000000.pth", "invalid hash value"),
        (f"cut/{NAME}", "invalid hash value"),
    ],
    ids=["404", "other content", "cut short"],
)
def test_a_failed_download_leaves_nothing_and_says_the_ways_on(path, reason, server, tmp_path):
    target = tmp_path / path.rpartition("/")[2]
    with pytest.raises(WeightsError) as error:
        get(f"{server.url}/{path}", target)
    text = str(error.value)
    assert "Net_Weights.V1 are not on this machine" in text
    assert reason in text
    assert f"download {target.name} (1 MiB) where there is a network and put it at {target}" in text
    assert "model.weights=path/to/file.pth" in text
    assert "model.weights=none" in text
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_message_is_the_same(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(WeightsError, match=r"could not be downloaded \(\[Errno \d+\] Connection refused\)"):
        get(f"http://127.0.0.1:{port}/{NAME}", tmp_path / NAME)


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"cannot be written to .*/file \(File exists\).*TORCH_HOME"):
        get("http://127.0.0.1:1/never", tmp_path / "file" / NAME)


def test_an_exception_in_progress_ends_the_download_and_leaves_nothing(server, tmp_path):
    def stop(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(f"{server.url}/slow/{NAME}", tmp_path / NAME, stop)
    server.may_go_on.set()
    deadline = time.monotonic() + 5
    while any(t.name == "download" for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
