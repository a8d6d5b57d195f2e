"""Who may ask for what: one rule for every route of the running app, Gradio's included.

A route without a rule is the owner's alone, and ``tests/ui/access/test_security_matrix.py`` fails until it has one.
*Nobody* closes what Gradio serves and this app has no use for. Of the viewer's page only what is needed to load it is
open, and the routes of ``api/viewer.py``; it contains no function that could be called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Needed = Literal["anyone", "viewer", "owner", "nobody"]
JSON_BYTES = 1 << 20
PICTURE_BYTES = 12 << 20
UPLOAD_BYTES = 66 << 20  # Gradio's own limit is 64 MB for each file; this counts the form around it
VIEW = "/view"


@dataclass(frozen=True)
class Rule:
    """A route and the least role that may use it.

    Attributes:
        methods: Separated by spaces; HEAD counts as GET. ``WEBSOCKET`` for those.
        path: As FastAPI writes it: ``{x}`` is one part of a path, ``{x:path}`` the rest.
        needed: The role.
        max_bytes: Largest body; None: the route itself counts.
    """

    methods: str
    path: str
    needed: Needed
    max_bytes: int | None = JSON_BYTES

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths that the rule is about."""
        parts = re.split(r"(\{[^}]*\})", self.path)
        text = "".join(
            re.escape(part) if not part.startswith("{") else ".*" if part.endswith(":path}") else "[^/]+"
            for part in parts
        )
        return re.compile(text, re.DOTALL)


def _each(
    needed: Needed, methods: str, *paths: str, prefix: str = "", max_bytes: int | None = JSON_BYTES
) -> list[Rule]:
    return [Rule(methods, prefix + path, needed, max_bytes) for path in paths]


def _gradio(page: Needed, actions: Needed, prefix: str = "") -> list[Rule]:
    """Rules of one mounted Blocks: for what its page loads, and for what calls its functions."""
    return [
        *_each("nobody", "GET", "/gradio_api/file={scheme:path}://{rest:path}", prefix=prefix),  # fetches other hosts
        *_each("nobody", "GET", "/gradio_api/file=http{rest:path}", prefix=prefix),
        *_each(
            page, "GET", "/", "/config", "/config/", "/theme.css", "/assets/{path:path}", "/static/{path:path}",
            "/svelte/{path:path}", "/favicon.ico", "/manifest.json", "/robots.txt", "/pwa_icon", "/pwa_icon/{size}",
            "/gradio_api/theme.css", "/gradio_api/app_id", "/gradio_api/app_id/", "/gradio_api/startup-events",
            prefix=prefix,
        ),
        *_each(
            actions, "GET", "/gradio_api/info", "/gradio_api/info/", "/gradio_api/queue/data",
            "/gradio_api/queue/status", "/gradio_api/upload_progress", "/gradio_api/heartbeat/{session_hash}",
            "/gradio_api/call/{api_name}/{event_id}", "/gradio_api/call/v2/{api_name}/{event_id}",
            "/gradio_api/file={path_or_url:path}", "/gradio_api/file/{path:path}", prefix=prefix,
        ),
        *_each(
            actions, "POST", "/gradio_api/queue/join", "/gradio_api/run/{api_name}", "/gradio_api/run/{api_name}/",
            "/gradio_api/api/{api_name}", "/gradio_api/api/{api_name}/", "/gradio_api/call/{api_name}",
            "/gradio_api/call/{api_name}/", "/gradio_api/call/v2/{api_name}", "/gradio_api/call/v2/{api_name}/",
            "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/reset/", "/gradio_api/component_server",
            "/gradio_api/component_server/", prefix=prefix,
        ),
        *_each(actions, "POST", "/gradio_api/upload", prefix=prefix, max_bytes=UPLOAD_BYTES),
        *_each(
            "nobody", "GET", "/monitoring", "/monitoring/{key:path}", "/logout", "/openapi.json", "/login_check",
            "/gradio_api/custom_component/{rest:path}", "/gradio_api/deep_link", "/gradio_api/dev/reload",
            "/gradio_api/login_check", "/gradio_api/login_check/", "/gradio_api/openapi.json",
            "/gradio_api/proxy={url_path:path}", "/gradio_api/runs", "/gradio_api/runs/",
            "/gradio_api/stream/{rest:path}", "/gradio_api/token", "/gradio_api/token/", "/gradio_api/user",
            "/gradio_api/user/", "/gradio_api/vibe-code", "/gradio_api/vibe-code/", prefix=prefix,
        ),
        *_each(
            "nobody", "POST", "/login/", "/gradio_api/process_recording", "/gradio_api/stream/{rest:path}",
            "/gradio_api/undo-vibe-edit", "/gradio_api/undo-vibe-edit/", "/gradio_api/vibe-code",
            "/gradio_api/vibe-code/", "/gradio_api/vibe-edit", "/gradio_api/vibe-edit/",
            "/gradio_api/vibe-starter-queries", "/gradio_api/vibe-starter-queries/", prefix=prefix,
        ),
    ]  # fmt: skip


OWNERS = [
    *_each(
        "owner", "GET", "/api/live", "/api/live/detail", "/api/runs", "/api/runs/{run_id}",
        "/api/runs/{run_id}/weights", "/api/networks", "/api/folders", "/api/preview/{key}/{name}",
        "/api/loss/code", "/api/loss/file", "/api/share",
        "/api/compare", "/api/runs/{run_id}/settings", "/api/data/uploads",
        "/api/runs/{run_id}/export/{kind}", "/api/runs/{run_id}/results", "/api/runs/{run_id}/results/{name}",
        "/api/runs/{run_id}/results/{name}/pictures", "/api/runs/{run_id}/results/{name}/picture/{index}",
        "/api/runs/{run_id}/results/{name}/layer/{index}/{what}", "/api/runs/{run_id}/results/{name}/map",
        "/api/runs/{run_id}/suspects", "/api/runs/{run_id}/examples", "/api/runs/{run_id}/examples/pictures",
        "/api/runs/{run_id}/examples/{name}", "/api/runs/{run_id}/examples/{name}/{what}",
        "/api/jobs/{kind}", "/api/jobs/check/{number}/{name}",
    ),
    *_each(
        "owner", "POST", "/api/plan", "/api/preview", "/api/rates", "/api/runs/{run_id}/set",
        "/api/runs/{run_id}/results", "/api/runs/{run_id}/results/cancel", "/api/runs/{run_id}/suspects",
        "/api/runs/{run_id}/decisions", "/api/runs/{run_id}/answering", "/api/runs/{run_id}/results/{name}/looked",
        "/api/runs/{run_id}/{action}", "/api/loss/curve", "/api/loss/file", "/api/loss/signature", "/api/loss/inputs",
        "/api/share/start", "/api/share/stop", "/api/share/tunnel",
        "/api/share/links/{role}", "/api/share/links/{role}/revoke", "/api/share/runs/{run_id}",
        "/api/data/recognise", "/api/data/uploads/remove", "/api/jobs/{kind}", "/api/jobs/{kind}/cancel",
    ),
    Rule("POST", "/api/data/upload", "owner", None),  # gigabytes; the route counts them as they come
]  # fmt: skip
VIEWERS = [
    Rule("GET", "/page/{version}/{name:path}", "viewer"),  # the app's own scripts and styles
    Rule("GET", "/favicon.ico", "viewer"),
    *_each("viewer", "GET", "/api/live", "/api/live/detail", "/api/runs", "/api/runs/{run_id}", prefix=VIEW),
    Rule("POST", f"{VIEW}/api/runs/{{run_id}}/try", "viewer", PICTURE_BYTES),
    Rule("GET", VIEW, "viewer"),
]
RULES: tuple[Rule, ...] = (
    Rule("GET POST", "/login", "anyone"),
    Rule("POST", f"{VIEW}/login", "nobody"),
    *VIEWERS,
    *_gradio("viewer", "nobody", prefix=VIEW),
    *OWNERS,
    *_gradio("owner", "owner"),
)


class RuleTable:
    """Rules by path, found fast: every asset of the page asks once."""

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        self.rules: Sequence[Rule] = tuple(rules)
        self._exact = {
            (method, rule.path): rule
            for rule in reversed(self.rules) if "{" not in rule.path for method in rule.methods.split()
        }  # fmt: skip
        self._rest = [rule for rule in self.rules if "{" in rule.path]

    def find(self, method: str, path: str) -> Rule | None:
        """The rule for a request; the first that matches counts, exact paths before patterns."""
        method = "GET" if method == "HEAD" else method
        found = self._exact.get((method, path))
        if found is not None:
            return found
        matching = (rule for rule in self._rest if method in rule.methods.split() and rule.pattern.fullmatch(path))
        return next(matching, None)

    def needed(self, method: str, path: str) -> Needed:
        """The least role; whatever is not named is the owner's, and no websocket is anybody's."""
        rule = self.find(method, path)
        if rule is not None:
            return rule.needed
        return "nobody" if method == "WEBSOCKET" else "owner"
