"""How something that takes long tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, float, float | None], None]
"""Called as ``on_progress(what, done, total)``; total None where nobody knows. An exception from it ends the work."""


def no_progress(what: str, done: float, total: float | None) -> None:
    """For nobody who watches."""
