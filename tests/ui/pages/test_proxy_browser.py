"""Behind a proxy that takes a prefix off the path and says nothing of it, the page works as without one."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = [pytest.mark.ui, pytest.mark.xdist_group("browser")]
PREFIX = "/tuner"
GRADIOS_OWN = ("/favicon", "/manifest", "/static/js/iframeResizer")  # written into its page; the page needs none
HOP = {"connection", "transfer-encoding", "content-length", "accept-encoding", "keep-alive"}


@pytest.fixture
def proxy(owner_server):
    """A small reverse proxy: ``/tuner/...`` is the app's ``/...``; anything else is not there."""
    upstream = owner_server.address.rstrip("/")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                strays.append(self.path)
                self.send_error(404)
                return
            size = int(self.headers.get("content-length", 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            request = urllib.request.Request(
                upstream + self.path[len(PREFIX) :], self.rfile.read(size) if size else None, headers,
                method=self.command,
            )  # fmt: skip
            try:
                response = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                response = error
            body = response.read()
            self.send_response(response.status)
            for name, value in response.headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # the page was left meanwhile
                self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    strays: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.strays = strays
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_page_works_below_a_prefix_that_nobody_told_it_of(owner_context, proxy, owner_server, hand_run):
    run = hand_run("proxied")
    run.begin()
    run.train(20)
    page = owner_context.new_page()
    page.goto(f"http://127.0.0.1:{proxy.server_port}{PREFIX}/?run={run.folder.id}")
    page.wait_for_function("document.querySelector('[data-chart=loss] .ftc-canvas')?.data?.length", timeout=60_000)
    page.wait_for_function("document.querySelectorAll('.ft-stages li').length > 0", timeout=30_000)
    page.click("#ft-section-run > button")
    page.fill("#ft-train-epochs input", "7")  # a form's answer comes through Gradio
    page.locator(".ft-command").filter(has_text="train.epochs=7").wait_for(timeout=30_000, state="attached")
    page.close()
    assert [path for path in proxy.strays if not path.startswith(GRADIOS_OWN)] == []
