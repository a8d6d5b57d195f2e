"""The owner's rights, checked once more inside every handler that changes or reads what is the owner's."""

from __future__ import annotations

import gradio as gr

from fine_tuner.ui import texts


def require_owner(request: gr.Request) -> None:
    """Second line of defence; the first is the guard in front of every route.

    Raises:
        gr.Error: If the request was made by anyone but the owner.
    """
    if request.username != "owner":
        raise gr.Error(texts.READ_ONLY, print_exception=False)
