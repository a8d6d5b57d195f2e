"""Answers for pages that this app did not make: left open over a restart, or made by another version of it.

Such a page asks Gradio for a session that it does not know, a function that it does not have, or gives a function fewer
values than it takes. Gradio answers 500, or breaks off an answer under way, and prints a traceback for each. They are
told here, before it sees them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
from gradio.server_messages import UnexpectedErrorMessage
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STALE = "This page was made by another start of the app. Load it again; what you typed is kept in the browser."
_API = "/gradio_api/"


class StalePages:
    """ASGI middleware in front of mounted pages.

    Args:
        app: What answers everything else.
        pages: The pages by the path at which they are mounted, that of no other's beginning last.
    """

    def __init__(self, app: ASGIApp, pages: Mapping[str, gr.Blocks]) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what a page of this app may ask."""
        page, route = self._asked(scope)
        if page is None:
            await self.app(scope, receive, send)
            return
        answer = None
        if scope["method"] == "GET" and (route == "queue/data" or route.startswith("call/")):
            answer = None if _is_awaited(page, route, scope) else _end_of_session()
        elif scope["method"] == "POST" and route.split("/")[0] in ("queue", "run", "api", "call", "component_server"):
            body, receive = await _read(receive)
            answer = None if _is_known(page, route, body) else JSONResponse({"detail": STALE}, 404)
        await (answer or self.app)(scope, receive, send)

    def _asked(self, scope: Scope) -> tuple[gr.Blocks | None, str]:
        """Whose Gradio is asked, and for what."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            for mounted, page in self.pages.items():
                start = mounted.rstrip("/") + _API
                if path.startswith(start):
                    return page, path[len(start) :]
        return None, ""


def _is_awaited(page: gr.Blocks, route: str, scope: Scope) -> bool:
    """Whether there is a session, or an event, to wait for; Gradio refuses a request that names none."""
    sessions = page._queue.pending_messages_per_session
    if route == "queue/data":
        names = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash")
        return names is None or names[0] in sessions
    event = route.rpartition("/")[2]
    events = page._queue.pending_event_ids_session.values()
    return event in sessions or event in page._queue.event_ids_to_events or any(event in ids for ids in events)


def _end_of_session() -> Response:
    """As Gradio says it in the middle of an answer, which its page understands."""
    message = UnexpectedErrorMessage(message=STALE, session_not_found=True).model_dump()
    return Response(f"data: {json.dumps(message, default=str)}\n\n", media_type="text/event-stream")


def _is_known(page: gr.Blocks, route: str, body: bytes) -> bool:
    """Whether a page of this app could have asked it; what is no JSON object is left to Gradio, which refuses it."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return True
    if not isinstance(asked, dict):
        return True
    kind, _, name = route.rstrip("/").partition("/")
    if kind == "component_server":
        return asked.get("component_id") in page.blocks
    index = asked.get("fn_index")
    if index is None and kind != "queue":
        index = next((i for i, fn in page.fns.items() if fn.api_name == name.removeprefix("v2/")), -1)
    return index is None or _takes(page, index, asked.get("data"))


def _takes(page: gr.Blocks, index: Any, data: Any) -> bool:
    function = page.fns.get(index) if isinstance(index, int) else None
    return function is not None and (not isinstance(data, list) or len(data) >= len(function.inputs))


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The body, which the guard has bounded, and what gives it once more."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    kept = iter(messages)

    async def again() -> Message:
        return next(kept, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again
