"""A page with nothing but the live panel: for the tests, and to look at.

``python -m tests.ui.rig`` serves it with a run in each state, one of them moving.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from fine_tuner.config.metric_specs import metric_table
from fine_tuner.launch.launcher import Launcher
from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.runs.view.live import LiveFeed
from fine_tuner.ui import static
from fine_tuner.ui.api.examples import ExampleRoutes
from fine_tuner.ui.api.live import LiveRoutes
from fine_tuner.ui.api.runs import RunRoutes
from fine_tuner.ui.head import head_links
from fine_tuner.ui.pages.live_panel import live_panel
from fine_tuner.ui.theme import build_theme
from tests.ui.hand_run import example_runs


def build_page(store: RunStore, **actions: Callable[[RunFolder], object]) -> FastAPI:
    """The app: the panel and its routes."""
    offered = {"stop": lambda run: control.request(run, "stop"), **actions}
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(static.router)
    # answers at once and every point, so that tests need not wait for the next second
    feed = LiveFeed(store.view_soon, hold_seconds=0.01, pace=math.inf)
    app.include_router(LiveRoutes(store, feed=feed).router())
    app.include_router(ExampleRoutes(store).router())
    app.include_router(RunRoutes(store, Launcher(store), store.root / "losses", offered).router())
    app.get("/plain")(plain_page)
    with gr.Blocks(title="live", analytics_enabled=False, fill_width=True) as page:
        live_panel(actions=tuple(offered))
    head = f'<link rel="stylesheet" href="{static.address_of("styles/style.css")}">{head_links()}'
    gr.mount_gradio_app(
        app, page, "/", theme=build_theme(), head=head, footer_links=[], run_history=False, ssr_mode=False, pwa=False
    )
    return app


def plain_page() -> HTMLResponse:
    """The panel without Gradio around it: loads in a tenth of the time."""
    live, style = static.address_of("live/live.js"), static.address_of("styles/style.css")
    return HTMLResponse(
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
        <title>live</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{style}">
        <style>body{{margin:16px;font-family:system-ui,sans-serif;--border-color-primary:#e3e5e8;
        --body-text-color:#181b1f;--body-text-color-subdued:#686f79;--background-fill-primary:#fff;--color-accent:#0a66a8}}
        body.dark{{background:#111316;--body-text-color:#e8eaed;--border-color-primary:#2d3238}}</style>
        <body><div id="live"><div class="ft-live"></div></div><div id="preview"></div>
        <script type="module">import * as live from "/{live}";
        live.mount(document.querySelector("#live"), {{base: "", actions: ["stop", "pause", "resume"],
        pictures: true, metrics: {json.dumps(metric_table())}}});
        </script></body></html>"""
    )


class Server:
    """uvicorn in a thread; can be stopped and started again on the same port."""

    def __init__(self, app: FastAPI, port: int = 0) -> None:
        self.app = app
        self.port = port or _free_port()
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        config = uvicorn.Config(self.app, port=self.port, log_level="error", timeout_graceful_shutdown=1, ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            if not self.thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@contextmanager
def serving(app: FastAPI) -> Iterator[Server]:
    """The app on a free port."""
    server = Server(app)
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main() -> None:
    root = Path(tempfile.mkdtemp(prefix="live-rig-"))
    runs = example_runs(root)
    server = Server(
        build_page(RunStore(root), pause=lambda run: None, resume=lambda run: None),
        int(sys.argv[1]) if len(sys.argv) > 1 else 0,
    )
    print(server.address, root, flush=True)
    pace = float(os.environ.get("PACE", "0.5"))
    while True:
        time.sleep(pace)
        if runs["running"].step < runs["running"].total:
            runs["running"].train()


if __name__ == "__main__":
    main()
