"""What the head of a page loads: styles, scripts, and before Gradio has started what the live panel needs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from functools import cache

from fine_tuner.ui import static

STYLES = (
    "styles/style.css",
    "styles/form.css",
    "styles/loss.css",
    "styles/rates.css",
    "styles/data.css",
    "styles/share.css",
    "styles/runs.css",
    "styles/memory.css",
    "styles/results.css",
    "styles/examples.css",
)
VIEWER_STYLES = ("styles/style.css", "styles/form.css", "styles/share.css")
SCRIPT = "page.js"
# Gradio draws fields before the script that minds them is there: what is typed until then is kept for it.
_KEEP_EARLY = (
    "window.FTEarly = new Map(); addEventListener('input', (e) => FTEarly?.set(e.target, e.target.value), true);"
)
_IMPORT = re.compile(r'(?:from|^import) "(\.{1,2}/[\w./]+)"', re.MULTILINE)


def page_head(base: str, styles: Sequence[str]) -> str:
    """Styles and scripts; ``FTPage`` is what the page's parts wait for before they mount.

    Args:
        base: From the page's address to the app's root.
        styles: Names of style sheets.
    """
    links = "".join(f'<link rel="stylesheet" href="{base}{static.address_of(name)}">' for name in styles)
    script = f'<script>{_KEEP_EARLY}window.FTPage = import("./{base}{static.address_of(SCRIPT)}");</script>'
    return f"{links}{head_links(base)}{script}"


def head_links(base: str = "") -> str:
    """For the page's head: loads the chart library and the panel's modules while Gradio is still starting.

    Not needed for the panel to work; it brings the first curve sooner.

    Args:
        base: As for ``page_head``.
    """
    library = f'<script async src="{base}{static.address_of(static.PLOTLY)}"></script>'
    links = (
        f'<link rel="modulepreload" href="{base}{static.address_of(name)}">' for name in modules_of("live/live.js")
    )
    return library + "".join(links)


@cache
def modules_of(name: str) -> tuple[str, ...]:
    """A script and all that it imports, each once."""
    found = [name]
    for script in found:
        text = (static.ASSETS / script).read_text(encoding="utf-8")
        imported = (
            posixpath.normpath(posixpath.join(posixpath.dirname(script), path)) for path in _IMPORT.findall(text)
        )
        found += [other for other in dict.fromkeys(imported) if other not in found]
    return tuple(found)
