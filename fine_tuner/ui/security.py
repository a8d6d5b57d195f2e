"""Who may do what over HTTP: roles, the login, and the guard in front of every route.

On the loopback address without a token every local request is the owner's; the guard then refuses what another web
site in the same browser can send: a foreign ``Host`` (DNS rebinding) and a foreign ``Origin`` on anything but a read
(CSRF). With a token nothing but the login is open without its cookie. The client's address is never trusted, since
traffic of a tunnel comes from the loopback address too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Role = Literal["owner", "viewer"]
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
COOKIE = "fine_tuner_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_SECONDS = 7 * 24 * 3600
LOGIN_TRIES_PER_MINUTE = 20
# unsafe-eval and unsafe-inline: Gradio's own front end needs both. What the policy does guarantee is that the page
# talks to no other host.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """How requests become roles.

    Attributes:
        owner_token: At least 128 random bits; None means that whoever reaches the app is the owner, which is right on
            the loopback address only.
        viewer_token: For the read-only page; None while it is not shared.
    """

    owner_token: str | None = None
    viewer_token: str | None = None
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def is_open(self) -> bool:
        """Whether there is no login."""
        return self.owner_token is None

    def role_of_token(self, token: str) -> Role | None:
        """The role that a login with ``token`` gives; compared in constant time."""
        for role, known in (("owner", self.owner_token), ("viewer", self.viewer_token)):
            if known is not None and hmac.compare_digest(token.encode(), known.encode()):
                return role  # type: ignore[return-value]
        return None

    def cookie_for(self, role: Role, *, now: float | None = None) -> str:
        """A signed session that expires: ``role.expiry.signature``."""
        body = f"{role}.{int((time.time() if now is None else now) + SESSION_SECONDS)}"
        return f"{body}.{self._sign(body)}"

    def role_of_cookie(self, cookie: str) -> Role | None:
        """The role of a session, None if it was forged or has expired."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            return None
        role, _, expiry = body.partition(".")
        return role if role in ("owner", "viewer") and float(expiry) > time.time() else None  # type: ignore[return-value]

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, body.encode(), hashlib.sha256).hexdigest()


def new_token() -> str:
    """256 random bits for a link."""
    return secrets.token_urlsafe(32)


def needed_role(path: str) -> Role | None:
    """The least role that may ask for ``path``; None for what is open to all. Whatever is not named is the owner's."""
    if path == "/login":
        return None
    return "viewer" if path == "/view" or path.startswith("/view/") else "owner"


def may(role: Role | None, needed: Role | None) -> bool:
    """Whether ``role`` suffices."""
    return needed is None or role == "owner" or role == needed


class Guard:
    """ASGI middleware in front of everything: host, origin, role, headers.

    Puts the role into ``scope["state"]["role"]``. Pure ASGI, so that streamed answers pass unbuffered.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access
        self._failures: deque[float] = deque(maxlen=LOGIN_TRIES_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["path"] == "/login":
            refusal = self._login(scope, headers)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await refusal(scope, receive, _with_headers(send))
            return
        await self.app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if self.access.is_open and _host_name(headers.get("host", "")) not in LOOPBACK_NAMES:
            return PlainTextResponse("This address is not served here. Open http://127.0.0.1 with the port.", 421)
        if is_cross_site(scope, headers):
            return PlainTextResponse("Refused: the request comes from another web site.", 403)
        role = self._role(headers)
        scope.setdefault("state", {})["role"] = role
        if may(role, needed_role(scope["path"])):
            return None
        if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return PlainTextResponse("Not signed in. Open the link that the app printed when it started.", 401)

    def _role(self, headers: Headers) -> Role | None:
        if self.access.is_open:
            return "owner"
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return self.access.role_of_cookie(cookie)

    def _login(self, scope: Scope, headers: Headers) -> Response:
        """``/login?token=...`` sets the cookie and goes to the page; without a token it says what to do."""
        token = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if not token:
            return HTMLResponse(LOGIN_PAGE, 401)
        now = time.monotonic()
        if len(self._failures) == self._failures.maxlen and now - self._failures[0] < 60:
            return PlainTextResponse("Too many tries with a wrong token. Wait a minute.", 429)
        role = self.access.role_of_token(token)
        if role is None:
            self._failures.append(now)
            return HTMLResponse(LOGIN_PAGE, 401)
        response = RedirectResponse("/" if role == "owner" else "/view/", 303)
        is_secure = scope["scheme"] == "https" or headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            COOKIE, self.access.cookie_for(role), max_age=SESSION_SECONDS, httponly=True, samesite="lax",
            secure=is_secure,
        )  # fmt: skip
        return response


def is_cross_site(scope: Scope, headers: Headers) -> bool:
    """Whether something that changes things was sent by a page of another site.

    Browsers send ``Origin`` with every such request; programs that send none are not browsers and carry no cookie
    of the user's by accident.
    """
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return False
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc != headers.get("host", "")
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def _host_name(host: str) -> str:
    """The name in a Host header, without the port: ``[::1]:7860`` -> ``[::1]``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].casefold()


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


LOGIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fine Tuner: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}
</style><h1>Fine Tuner</h1><p>This page needs the link with the token. It was printed where the app was started;
open that link once, and this browser stays signed in.</p></html>"""
