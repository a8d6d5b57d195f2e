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
from fine_tuner.ui.access.guard import Guard
from fine_tuner.ui.access.permissions import VIEW
from fine_tuner.ui.access.roles import gradio_owner, gradio_viewer, owner_route
from fine_tuner.ui.access.sharing import ShareRoutes, Sharing
from fine_tuner.ui.api.routers import run_routers, viewer_router
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.head import STYLES, VIEWER_STYLES, page_head
from fine_tuner.ui.jobs.questions import Ask
from fine_tuner.ui.jobs.routers import setup_routers
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.page_root import PageRoot
from fine_tuner.ui.pages.owner import build_owner_page
from fine_tuner.ui.pages.viewer import build_viewer_page
from fine_tuner.ui.stale_pages import StalePages
from fine_tuner.ui.theme import build_theme

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
NO_ACCESS = "{file} cannot be read or written ({error}). Make it so, or free some space, then try again."
SESSIONS_KEPT = 200  # Gradio keeps a copy of the page's configuration for each


def build_app(
    *,
    runs: Path,
    allowed: Allowed,
    sharing: Sharing | None = None,
    ask: Ask | None = None,
) -> FastAPI:
    """The whole application; ``ui/environment.py`` must have prepared the environment.

    Args:
        runs: Folder of runs.
        allowed: What the page permits.
        sharing: Who may come in, from where, and how much they may ask for; None: everybody who reaches the app.
        ask: Answers command lines; None: a process of our own with torch loaded.
    """
    services = Services(runs=runs, allowed=allowed, ask=ask)
    sharing = sharing or Sharing()

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
        ShareRoutes(sharing, services.store).router(),
    )
    for router in owners:
        app.include_router(router, dependencies=[Depends(owner_route)])
    app.include_router(viewer_router(services, sharing))
    app.add_exception_handler(RequestValidationError, wrong_shape)
    app.add_exception_handler(OSError, no_access)
    app.add_middleware(CORSMiddleware, allow_origins=[])  # with one of our own, Gradio adds none that allows everyone
    pages = {VIEW: build_viewer_page(), "/": build_owner_page(services)}
    app.add_middleware(StalePages, pages=pages)
    app.add_middleware(PageRoot)
    app.add_middleware(Guard, access=sharing.access, limits=sharing.limits)
    _mount(app, pages[VIEW], VIEW, check=gradio_viewer, styles=VIEWER_STYLES)
    _mount(app, pages["/"], "/", check=gradio_owner)  # last: "/" swallows every path
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
        return JSONResponse({"detail": NO_ACCESS.format(file="A file of it", error=error.strerror)}, 409)
    return JSONResponse({"detail": NO_ACCESS.format(file=error.filename, error=error.strerror)}, 409)


def _mount(app: FastAPI, page: gr.Blocks, path: str, *, check: Check, styles: Sequence[str] = STYLES) -> None:
    """Mount a page, with Gradio's own check of the role behind the guard's."""
    _tame(page)
    base = "" if path == "/" else "../"
    gr.mount_gradio_app(
        app, page, path, auth_dependency=check, theme=build_theme(), head=page_head(base, styles), **MOUNT
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
