"""The application: FastAPI with the page mounted on it, its routes, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware

from fine_tuner.ui import static, texts
from fine_tuner.ui.data_checks import CheckRoutes
from fine_tuner.ui.data_routes import DataRoutes
from fine_tuner.ui.exports import ExportRoutes
from fine_tuner.ui.finder import FinderRoutes
from fine_tuner.ui.folders import Allowed
from fine_tuner.ui.history import HistoryRoutes
from fine_tuner.ui.live import LiveRoutes, head_links
from fine_tuner.ui.losses import LossRoutes
from fine_tuner.ui.pages import build_owner_page
from fine_tuner.ui.plans import Ask
from fine_tuner.ui.rates import RateRoutes
from fine_tuner.ui.routes import Routes
from fine_tuner.ui.security import Access, Guard
from fine_tuner.ui.services import Services
from fine_tuner.ui.theme import build_theme

STYLES = ("style.css", "form.css", "loss.css", "rates.css", "data.css")
SCRIPT = "page.js"
MOUNT = {
    "run_history": False,
    "footer_links": [],
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "max_file_size": "64mb",
    "show_error": False,
}
SESSIONS_KEPT = 200  # Gradio keeps a copy of the page's configuration for each


def build_app(*, runs: Path, allowed: Allowed, access: Access | None = None, ask: Ask | None = None) -> FastAPI:
    """The whole application; ``ui/environment.py`` must have prepared the environment.

    Args:
        runs: Folder of runs.
        allowed: What the page permits.
        access: Who may come in; None: everybody who reaches it, for the loopback address.
        ask: Answers command lines; None: a process of our own with torch loaded.
    """
    access = access or Access()
    services = Services(runs=runs, allowed=allowed, ask=ask)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            services.close()

    app = FastAPI(title=texts.APP, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.services = services
    app.include_router(static.router)
    app.include_router(Routes(services).router())
    app.include_router(LossRoutes(services).router())
    app.include_router(FinderRoutes(services.finder, services.allowed).router())
    app.include_router(CheckRoutes(services.checks, services.allowed).router())
    app.include_router(DataRoutes(services.rates, services.allowed, services.uploads_folder).router())
    app.include_router(RateRoutes(services.rates, services.store, services.allowed).router())
    app.include_router(HistoryRoutes(services.store, services.launcher, services.losses_folder).router())
    app.include_router(ExportRoutes(services.store, services.questions).router())
    app.include_router(LiveRoutes(services.store, services.actions).router())
    app.add_middleware(CORSMiddleware, allow_origins=[])  # with one of our own, Gradio adds none that allows everyone
    app.add_middleware(Guard, access=access)
    page = build_owner_page(services)
    _tame(page)
    gr.mount_gradio_app(
        app, page, "/", auth_dependency=owner_only, theme=build_theme(), head=_head(), **MOUNT
    )  # "/" swallows every path, so whatever else is mounted comes before it
    return app


def owner_only(request: Request) -> str | None:
    """Gradio's own check, behind the guard's: the user name of the owner, None for anyone else."""
    return "owner" if getattr(request.state, "role", None) == "owner" else None


def _tame(page: gr.Blocks) -> None:
    """No way around the queue, less idle work (0.9 % of a core instead of 6.7 %), less memory per visitor.

    Set as attributes, since ``page.queue()`` builds Gradio's own application once more: 0.1 s of the start.
    """
    page.api_open = False
    page.state_session_capacity = SESSIONS_KEPT
    for name, value in (("max_size", 64), ("sleep_when_free", 0.05), ("progress_update_sleep_when_free", 0.1)):
        if hasattr(page._queue, name):
            setattr(page._queue, name, value)


def _head() -> str:
    """Styles and scripts; ``FTPage`` is what the page's parts wait for before they mount."""
    styles = "".join(f'<link rel="stylesheet" href="{static.address_of(name)}">' for name in STYLES)
    return f'{styles}{head_links()}<script>window.FTPage = import("./{static.address_of(SCRIPT)}");</script>'
