"""The application: FastAPI with both pages mounted on it, its routes, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware

from fine_tuner.ui import static
from fine_tuner.ui.access import texts
from fine_tuner.ui.access.entry import Access
from fine_tuner.ui.access.guard import Guard
from fine_tuner.ui.access.limits import VisitorLimits
from fine_tuner.ui.access.permissions import VIEW
from fine_tuner.ui.access.roles import gradio_owner, gradio_viewer, owner_route
from fine_tuner.ui.access.sharing import ShareRoutes, Sharing
from fine_tuner.ui.access.tunnel import Tunnel
from fine_tuner.ui.api.routers import run_routers, viewer_router
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs.questions import Ask
from fine_tuner.ui.jobs.routers import setup_routers
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.page_root import PageRoot
from fine_tuner.ui.pages.live_panel import head_links
from fine_tuner.ui.pages.owner import build_owner_page
from fine_tuner.ui.pages.viewer import build_viewer_page
from fine_tuner.ui.theme import build_theme

STYLES = (
    "styles/style.css",
    "styles/form.css",
    "styles/loss.css",
    "styles/rates.css",
    "styles/data.css",
    "styles/share.css",
    "styles/runs.css",
    "styles/memory.css",
)
VIEWER_STYLES = ("styles/style.css", "styles/form.css", "styles/share.css")
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
Check = Callable[[Request], str | None]
SESSIONS_KEPT = 200  # Gradio keeps a copy of the page's configuration for each


def build_app(
    *,
    runs: Path,
    allowed: Allowed,
    access: Access | None = None,
    ask: Ask | None = None,
    tunnel: Tunnel | None = None,
    limits: VisitorLimits | None = None,
) -> FastAPI:
    """The whole application; ``ui/environment.py`` must have prepared the environment.

    Args:
        runs: Folder of runs.
        allowed: What the page permits.
        access: Who may come in; None: everybody who reaches it, for the loopback address.
        ask: Answers command lines; None: a process of our own with torch loaded.
        tunnel: The way to a public address; None: Gradio's.
        limits: How much viewers may ask for.
    """
    access = access or Access()
    services = Services(runs=runs, allowed=allowed, ask=ask, limits=limits)
    sharing = Sharing(access, tunnel=tunnel)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            sharing.close()
            services.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.services = services
    app.state.sharing = sharing
    app.include_router(static.router)
    owners = (
        *setup_routers(services),
        *run_routers(services),
        ShareRoutes(sharing, services.store, services.watching).router(),
    )
    for router in owners:
        app.include_router(router, dependencies=[Depends(owner_route)])
    app.include_router(viewer_router(services))
    app.add_exception_handler(RequestValidationError, wrong_shape)
    app.add_exception_handler(OSError, no_access)
    app.add_middleware(CORSMiddleware, allow_origins=[])  # with one of our own, Gradio adds none that allows everyone
    app.add_middleware(PageRoot)
    app.add_middleware(Guard, access=access, limits=services.limits)
    _mount(app, build_viewer_page(), VIEW, check=gradio_viewer, styles=VIEWER_STYLES)
    _mount(app, build_owner_page(services), "/", check=gradio_owner)  # last: "/" swallows every path
    return app


def wrong_shape(_: Request, error: Exception) -> JSONResponse:
    """422 in words, without what was sent: that may be anything, also what JSON has no word for."""
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    words = (f"{'.'.join(str(part) for part in problem['loc'])[:100]}: {problem['msg'][:200]}." for problem in problems)
    return JSONResponse({"detail": " ".join(list(words)[:5])}, 422)


def no_access(request: Request, error: Exception) -> JSONResponse:
    """409 in words for a file that cannot be read or written: a full disk, a folder in its place."""
    assert isinstance(error, OSError)
    if getattr(request.state, "role", None) != "owner":
        return JSONResponse({"detail": texts.NO_ACCESS.format(file="A file of it", error=error.strerror)}, 409)
    return JSONResponse({"detail": texts.NO_ACCESS.format(file=error.filename, error=error.strerror)}, 409)


def _mount(app: FastAPI, page: gr.Blocks, path: str, *, check: Check, styles: Sequence[str] = STYLES) -> None:
    """Mount a page, with Gradio's own check of the role behind the guard's."""
    _tame(page)
    base = "" if path == "/" else "../"
    gr.mount_gradio_app(
        app, page, path, auth_dependency=check, theme=build_theme(), head=_head(base, styles), **MOUNT
    )  # fmt: skip


def _tame(page: gr.Blocks) -> None:
    """No way around the queue, less idle work (0.9 % of a core instead of 6.7 %), less memory per visitor.

    Set as attributes, since ``page.queue()`` builds Gradio's own application once more: 0.1 s of the start.
    """
    page.api_open = False
    page.state_session_capacity = SESSIONS_KEPT
    for name, value in (("max_size", 64), ("sleep_when_free", 0.05), ("progress_update_sleep_when_free", 0.1)):
        if hasattr(page._queue, name):
            setattr(page._queue, name, value)


def _head(base: str, styles: Sequence[str]) -> str:
    """Styles and scripts; ``FTPage`` is what the page's parts wait for before they mount.

    Args:
        base: From the page's address to the app's root.
        styles: Names of style sheets.
    """
    links = "".join(f'<link rel="stylesheet" href="{base}{static.address_of(name)}">' for name in styles)
    script = f'<script>window.FTPage = import("./{base}{static.address_of(SCRIPT)}");</script>'
    return f"{links}{head_links(base)}{script}"
