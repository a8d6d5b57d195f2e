"""Serving over HTTP: idle connections are closed, a second port may be opened, and the end comes in silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0  # for the lines before the body; uvicorn itself waits for ever
MAX_CONNECTIONS = 1000
LAST_SECONDS = 3.0  # for requests under way when the app ends


class HeadTimeoutProtocol(AutoHTTPProtocol):
    """uvicorn's protocol with a limit on how long the head of a request may take (slow loris)."""

    head_seconds = HEAD_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; wait on while it is not whole."""
        if self._deadline is None and self._is_between():
            self._wait()
        super().data_received(data)
        if self._deadline is not None and not self._is_between():
            self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody to wait for any more."""
        self._calm()
        super().connection_lost(exc)

    def _is_between(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self.transport.close)

    def _calm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """A server that leaves signals alone where another one, in the same loop, minds them, and that ends in silence.

    Requests that are under way when it ends have ``LAST_SECONDS`` for their answer; then their connections are closed.
    uvicorn would print a traceback for each.
    """

    minds_signals = True
    second: SecondDoor | None = None  # which ends with this one

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, unless the other server does it."""
        if not self.minds_signals:
            yield
            return
        with super().capture_signals():
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, let what is under way end, then hang up; a second Ctrl+C leaves no time."""
        if self.second is not None:
            self.second.close()
        hanging_up = asyncio.create_task(self._hang_up(LAST_SECONDS))
        await super().shutdown(sockets)
        hanging_up.cancel()
        await self._hang_up(0)
        if self.force_exit:  # uvicorn leaves it out then, and the application its processes
            await self.lifespan.shutdown()
        if self.second is not None:
            await self.second.wait_closed()

    async def _hang_up(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.01)  # each request hears that nobody listens, so that none misses an answer
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


class _Cancellable:
    """The application, for a server that cancels requests when it ends: that is no error of theirs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.server: Server | None = None  # given once it is made, of this

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http" or self.server is None or not self.server.should_exit:
                raise


def make_server(app: ASGIApp, *, is_second: bool = False, protocol: type = HeadTimeoutProtocol) -> Server:
    """A server for the app, with limits; a second one shares the first one's loop and its lifespan."""
    served = _Cancellable(app)
    config = uvicorn.Config(
        served, log_level="warning", timeout_graceful_shutdown=round(LAST_SECONDS) + 3, server_header=False,
        http=protocol, ws="none", proxy_headers=False,  # the address that a request claims for itself is worth nothing
        limit_concurrency=MAX_CONNECTIONS, lifespan="off" if is_second else "auto", access_log=False,
    )  # fmt: skip
    served.server = server = Server(config)
    server.minds_signals = not is_second
    return server


class SecondDoor:
    """A second port of the loopback address, where nobody passes without a login: for tunnels.

    Args:
        app: The application.
        loop: Where its first server runs.
    """

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self._server: Server | None = None
        self._serving: Future[None] | None = None

    def bind(self) -> socket.socket:
        """A listening socket on a free port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        return listener

    def open(self, listener: socket.socket) -> None:
        """Serve on ``listener``; callable from any thread."""
        self._server = make_server(self._app, is_second=True)
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve(sockets=[listener]), self._loop)

    def close(self) -> None:
        """Stop serving there; callable from any thread."""
        if self._server is not None:
            self._server.should_exit = True
            self._server = None

    async def wait_closed(self) -> None:
        """Until the last request there has ended."""
        if self._serving is not None:
            await asyncio.wrap_future(self._serving)
