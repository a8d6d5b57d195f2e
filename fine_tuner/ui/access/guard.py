"""Who may come in, and the guard in front of every route: host, origin, role, limits, headers.

On the loopback address every request of this user's processes is the owner's, without a login; the guard then refuses
what another web site in the same browser can send, a foreign ``Host`` (DNS rebinding) or a foreign ``Origin``, and
what another user of the machine sends. Everywhere else, and on the second port that a tunnel or ``ssh -R`` leads to,
nothing but the login is open without its cookie. The client's address is never trusted, since traffic of a tunnel
comes from the loopback address too. Which role a route needs is in ``permissions.py``.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fine_tuner.ui.access import texts
from fine_tuner.ui.access.body_limits import bounded, is_too_long
from fine_tuner.ui.access.entry import LOOPBACK_NAMES, Access
from fine_tuner.ui.access.limits import Meter, VisitorLimits
from fine_tuner.ui.access.links import Link, Role
from fine_tuner.ui.access.permissions import VIEW, Needed, Rule, RuleTable

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOGIN_TRIES_PER_MINUTE = 20
_KEPT = re.compile(rf"({VIEW})?/(assets|static|svelte|page)/")  # scripts and styles, the same for everyone
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(:[0-9]{1,5})?")
RUN_ID = re.compile(r"[\w.-]{1,120}")
# unsafe-eval and unsafe-inline: Gradio's own front end needs both. What the policy does guarantee is that the page
# talks to no other host.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
HEADERS: dict[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Robots-Tag": "noindex",
    # tokens, pictures, predictions: nothing stays in a browser's or a proxy's cache, but what says itself that it may
    "Cache-Control": "no-store",
}
# what someone uploaded, opened by itself, is a picture at most: no script of an SVG or HTML file runs
FILE_HEADERS: dict[str, str] = HEADERS | {"Content-Security-Policy": "sandbox; default-src 'none'"}


def may(role: Role | None, needed: Needed) -> bool:
    """Whether ``role`` suffices."""
    return needed == "anyone" or (needed != "nobody" and (role == "owner" or role == needed))


class Guard:
    """ASGI middleware in front of everything.

    Puts the role into ``scope["state"]["role"]``, and the session's id into ``["session"]``. Pure ASGI, so that
    streamed answers pass unbuffered.
    """

    def __init__(
        self, app: ASGIApp, access: Access, *, table: RuleTable | None = None, limits: VisitorLimits | None = None
    ) -> None:
        self.app = app
        self.access = access
        self.table = table or RuleTable()
        self.limits = limits or VisitorLimits()
        self._meter = Meter()
        self._failures: deque[float] = deque(maxlen=LOGIN_TRIES_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers, scope = Headers(scope=scope), self._without_prefix(scope)
        method = scope.get("method", "WEBSOCKET")
        rule = self.table.find(method, scope["path"])
        refusal = self._refusal(scope, headers, self.table.needed(method, scope["path"]), rule)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await refusal(scope, receive, _with_headers(send))
            return
        if scope["type"] == "http" and method not in SAFE_METHODS:
            receive = bounded(receive, Rule.max_bytes if rule is None else rule.max_bytes)
        added = FILE_HEADERS if "/gradio_api/file" in scope["path"] else HEADERS
        if _KEPT.match(scope["path"]):
            added = {name: value for name, value in added.items() if name != "Cache-Control"}
        await self.app(self._as_outside(scope), receive, _with_headers(send, added))

    def _without_prefix(self, scope: Scope) -> Scope:
        """``scope`` as it is without a proxy, whether or not that takes the prefix off itself."""
        prefix = self.access.prefix
        if not prefix or not (scope["path"] == prefix or scope["path"].startswith(f"{prefix}/")):
            return scope
        path = scope["path"][len(prefix) :] or "/"
        return dict(scope) | {"path": path, "raw_path": quote(path).encode()}

    def _as_outside(self, scope: Scope) -> Scope:
        """``scope`` as the application has to see it to make addresses that are right outside of the proxy."""
        access = self.access
        if access.prefix:
            path = access.prefix + scope["path"]
            scope = dict(scope) | {"path": path, "raw_path": quote(path).encode(), "root_path": access.prefix}
        if access.origin:
            ours = urlsplit(access.origin)
            named = [(b"host", ours.netloc.encode()), (b"x-forwarded-proto", ours.scheme.encode())]
            dropped = {b"host", b"x-forwarded-proto", b"x-forwarded-host"}
            kept = [(name, value) for name, value in scope["headers"] if name.lower() not in dropped]
            scope = dict(scope) | {"headers": [*kept, *named]}
        return scope

    def _refusal(self, scope: Scope, headers: Headers, needed: Needed, rule: Rule | None) -> Response | None:
        is_open = self.access.is_open(scope)
        if is_open and _host_name(headers.get("host", "")) not in LOOPBACK_NAMES:
            return PlainTextResponse(texts.NOT_SERVED, 421)
        scope.setdefault("state", {})["origin"] = self.access.origin
        if is_cross_site(scope, headers) or is_embedded(headers):
            return PlainTextResponse(texts.CROSS_SITE, 403)
        role, session = self._identify(scope, headers, is_open)
        scope["state"].update(role=role, session=session)
        if scope["path"] == "/login" and (link := self._link_of(scope)) is not None:
            return self._come_in(link, scope, headers, role)  # before any limit: nobody's requests keep out who may
        if not self._has_allowance(role, session, scope):
            return PlainTextResponse(texts.TOO_MANY, 429, {"Retry-After": "5"})
        if scope["path"] == "/login":
            return self._not_come_in(scope)
        if not may(role, needed):
            return self._not_allowed(scope, headers, role, needed)
        if scope["type"] == "http" and is_too_long(headers, Rule.max_bytes if rule is None else rule.max_bytes):
            return PlainTextResponse(texts.TOO_LARGE, 413)
        return RedirectResponse(f"{self.access.prefix}{VIEW}/", 308) if scope["path"] == VIEW else None

    def _identify(self, scope: Scope, headers: Headers, is_open: bool) -> tuple[Role | None, str]:
        """The role of a request, and the session it belongs to; without a login that is one for all."""
        whose, session = "nobody's", self.access.session(headers)
        if is_open:
            whose = self.access.whose(scope.get("client"), scope.get("server")) if self.access.whose else "ours"
        if whose == "ours":
            return "owner", "here"
        if whose == "another's" and session is None and self.access.on_stranger is not None:
            self.access.on_stranger()
        if session is None or (self.access.is_private and not is_open and session.role == "owner"):
            return None, ""
        return session.role, session.id

    def _has_allowance(self, role: Role | None, session: str, scope: Scope) -> bool:
        if role == "owner":
            return True
        if role is None:  # one address may be many people's, behind a tunnel, or one person's many
            address = str((scope.get("client") or ("",))[0])
            is_calm = self._meter.take("stranger", address, self.limits.stranger)
            return is_calm and self._meter.take("strangers", "", self.limits.strangers)
        return self._meter.take("session", session, self.limits.session)

    def _not_allowed(self, scope: Scope, headers: Headers, role: Role | None, needed: Needed) -> Response:
        wants_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if role is not None and needed == "nobody":
            return PlainTextResponse("Not found.", 404)
        if role == "viewer" and wants_page and scope["path"] == "/":
            return RedirectResponse(f"{self.access.prefix}{VIEW}/", 303)
        if role is None and wants_page:
            return RedirectResponse(f"{self.access.prefix}/login", 303)
        return PlainTextResponse(texts.NOT_SIGNED_IN, 401)

    def _link_of(self, scope: Scope) -> Link | None:
        """The link whose token a request to ``/login?token=...`` holds, if it opens this port."""
        link = self.access.links.of_token(_query(scope, "token"))
        is_owners_elsewhere = (
            link is not None and link.role == "owner" and self.access.is_private and not self.access.is_open(scope)
        )
        return None if is_owners_elsewhere else link

    def _come_in(self, link: Link, scope: Scope, headers: Headers, role: Role | None) -> Response:
        """Set the cookie and go to the page, so that the token leaves the address."""
        response = RedirectResponse(self._home(link, _query(scope, "run")), 303)
        if role != "owner" or link.role == "owner":  # a viewer's link takes nothing from the owner who tries it
            self._set_cookie(response, link, scope, headers)
        return response

    def _not_come_in(self, scope: Scope) -> Response:
        """What to do, for who has no token or a wrong one; the wrong ones are counted."""
        now = time.monotonic()
        if _query(scope, "token"):
            if len(self._failures) == self._failures.maxlen and now - self._failures[0] < 60:
                return PlainTextResponse(texts.TOO_MANY_TOKENS, 429, {"Retry-After": "60"})
            self._failures.append(now)
        return HTMLResponse(LOGIN_PAGE, 401)

    def _home(self, link: Link, run: str) -> str:
        if link.role == "owner":
            return f"{self.access.prefix}/"
        return f"{self.access.prefix}{VIEW}/" + (f"?run={quote(run)}" if RUN_ID.fullmatch(run) else "")

    def _set_cookie(self, response: Response, link: Link, scope: Scope, headers: Headers) -> None:
        cookie, seconds = self.access.links.open_session(link)
        is_secure = scope["scheme"] == "https" or headers.get("x-forwarded-proto", "").startswith("https")
        response.set_cookie(
            self.access.links.cookie_name, cookie, max_age=seconds, httponly=True, samesite="lax",
            secure=is_secure or self.access.origin.startswith("https:"), path=f"{self.access.prefix}/",
        )  # fmt: skip


def is_cross_site(scope: Scope, headers: Headers) -> bool:
    """Whether something that changes things was sent by a page of another site.

    Browsers send ``Origin`` with every such request; programs that send none are not browsers and carry no cookie
    of the user's by accident. The guard leaves the origin of a proxy in front of the app in the request's state.
    """
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return False
    sent = headers.get("origin")
    if sent is not None:
        ours = scope.get("state", {}).get("origin")
        return urlsplit(sent).netloc != headers.get("host", "") and not (ours and sent == ours)
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def is_embedded(headers: Headers) -> bool:
    """Whether a page of another site asks for something as a part of itself: a picture, a script, a frame.

    Only following a link from there is allowed. Browsers that do not say where a request comes from pass.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") != "document"


def _query(scope: Scope, name: str) -> str:
    """The first value of ``name`` in the address; empty if there is none."""
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get(name, [""])[0]


def _host_name(host: str) -> str:
    """The name in a Host header, without the port: ``[::1]:7860`` -> ``[::1]``; empty if it is none."""
    found = _HOST.fullmatch(host)
    return found["name"].casefold() if found else ""


def _with_headers(send: Send, added: Mapping[str, str] = HEADERS) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


LOGIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fine Tuner: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}
</style><h1>Fine Tuner</h1><p>This page needs a link with a token. The owner's was printed where the app was started,
and the owner can give you one to watch. Open it once, and this browser stays signed in until the link ends. If yours
worked before, it has expired or was renewed: ask for the new one.</p></html>"""
