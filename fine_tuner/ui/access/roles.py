"""Rights, checked once more inside every handler that changes or reads what is the owner's, behind the guard."""

from __future__ import annotations

import gradio as gr
from fastapi import HTTPException, Request

from fine_tuner.ui.access import texts


def require_owner(request: gr.Request) -> None:
    """Second line of defence of Gradio's handlers.

    Raises:
        gr.Error: If the request was made by anyone but the owner.
    """
    if request.username != "owner":
        raise gr.Error(texts.READ_ONLY, print_exception=False)


def owner_route(request: Request) -> None:
    """The same for routes, as their dependency.

    Raises:
        HTTPException: 403 if the request was made by anyone but the owner.
    """
    if getattr(request.state, "role", None) != "owner":
        raise HTTPException(403, texts.READ_ONLY)


def require_viewer(request: Request) -> None:
    """The same for the viewer's routes, which the owner may use too.

    Raises:
        HTTPException: 403 if the request was made by neither.
    """
    if getattr(request.state, "role", None) not in ("owner", "viewer"):
        raise HTTPException(403, texts.READ_ONLY)


def gradio_owner(request: Request) -> str | None:
    """Gradio's own check of the owner's page: the user name, None for anyone but the owner."""
    return "owner" if getattr(request.state, "role", None) == "owner" else None


def gradio_viewer(request: Request) -> str | None:
    """Gradio's own check of the viewer's page."""
    role = getattr(request.state, "role", None)
    return role if role in ("owner", "viewer") else None
