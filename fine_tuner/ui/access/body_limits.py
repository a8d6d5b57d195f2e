"""Bodies of requests: how large they may be, and how long they may take."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from fine_tuner.ui.access import texts

PART_SECONDS = 20.0  # between two parts of a body
LEAST_BYTES_PER_SECOND = 20_000  # a slower sender is holding the door open


def is_too_long(headers: Headers, max_bytes: int | None) -> bool:
    """Whether a request says itself that its body is larger than allowed, or gives no number."""
    said = headers.get("content-length")
    if said is None or max_bytes is None:
        return False
    return not said.isdecimal() or int(said) > max_bytes


def bounded(receive: Receive, max_bytes: int | None, *, part_seconds: float = PART_SECONDS) -> Receive:
    """``receive`` that gives up on a body that is too large or too slow, with the error that says so.

    Args:
        receive: The ASGI server's.
        max_bytes: Largest body; None: no limit here.
        part_seconds: Longest wait for a part of it.
    """
    loop = asyncio.get_running_loop()
    began, count, is_complete = loop.time(), 0, False

    async def receive_bounded() -> Message:
        nonlocal count, is_complete
        if is_complete:  # from here on it waits for the visitor to go
            return await receive()
        latest = began + part_seconds + count / LEAST_BYTES_PER_SECOND
        try:
            message = await asyncio.wait_for(receive(), max(0.0, latest - loop.time()))
        except TimeoutError:
            raise HTTPException(408, texts.TOO_SLOW) from None
        count += len(message.get("body", b""))
        is_complete = not message.get("more_body", False)
        if max_bytes is not None and count > max_bytes:
            raise HTTPException(413, texts.TOO_LARGE)
        return message

    return receive_bounded
