"""Builders of one family, keyed by the settings class that chooses them. Duplicates and unknown names are errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known name closest to ``name``, ignoring case, or ``""``."""
    by_folded = {k.casefold(): k for k in known}
    close = get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""


class Registry(Generic[T]):
    """Maps a settings class to the function that builds its object.

    A builder takes the settings object first and, by keyword, what no settings can know (``num_classes=``, ...).
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._builders: dict[type, Callable[..., T]] = {}

    def register(self, settings_type: type) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator: the function below builds the object that ``settings_type`` describes.

        Raises:
            ValueError: If the type has a builder already.
        """

        def decorate(builder: Callable[..., T]) -> Callable[..., T]:
            if settings_type in self._builders:
                raise ValueError(f"{self.family} {settings_type.__name__} is registered twice")
            self._builders[settings_type] = builder
            return builder

        return decorate

    def __contains__(self, settings_type: type) -> bool:
        return settings_type in self._builders

    def __iter__(self) -> Iterable[type]:
        return iter(self._builders)

    def build(self, settings: Any, /, **runtime: Any) -> T:
        """Build what ``settings`` describes.

        Raises:
            LookupError: If no builder is registered for the type of ``settings``.
        """
        builder = self._builders.get(type(settings))
        if builder is None:
            known = ", ".join(sorted(t.__name__ for t in self._builders))
            raise LookupError(f"no {self.family} is registered for {type(settings).__name__} (known: {known})")
        return builder(settings, **runtime)
