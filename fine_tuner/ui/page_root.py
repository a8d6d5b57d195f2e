"""The address of the app as the browser sees it, behind whatever proxy.

Gradio writes into its page where the app is, as the request said. A proxy that takes a prefix off the path (``/tuner/``
to ``/``) says nothing of it, and every question of the page would go to an address without the prefix. The browser
knows better: its page lies where it was loaded from.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONFIG = b"window.gradio_config = "
SCRIPT = (
    b"<script>if (window.gradio_config) window.gradio_config.root = "
    b'new URL(".", location.href).href.replace(/\\/$/, "");</script>'
)
_END = b"</head>"


class PageRoot:
    """ASGI middleware: adds ``SCRIPT`` to Gradio's page, before Gradio's own script runs (that one is deferred)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on as it is but a page of Gradio's."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []  # the start of an answer that is a page, and its body so far

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                held.append(message)
            elif held and message["type"] == "http.response.body":
                held.append(message)
                if not message.get("more_body"):
                    await _send_page(held, send)
            else:
                await send(message)

        await self.app(scope, receive, pass_on)


def _is_page(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start["headers"]}
    return headers.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in headers


async def _send_page(held: list[Message], send: Send) -> None:
    start, *parts = held
    body = b"".join(part.get("body", b"") for part in parts)
    if CONFIG in body:
        head, end, rest = body.rpartition(_END)  # the last: the configuration may quote one
        body = head + SCRIPT + end + rest
    kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    await send({**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
