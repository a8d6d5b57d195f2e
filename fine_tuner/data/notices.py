"""What reading the data has to say to a person: what was decided or left out, and the setting that changes it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fine_tuner.base.errors import DataError

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Remedy:
    """What one click can do; it changes settings, never files.

    Attributes:
        label: On the button.
        settings: Dotted path to value.
    """

    label: str
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        """``label: data.x=1 data.y=2``, as it is typed on a command line."""
        return f"{self.label}: {' '.join(f'{path}={_written(value)}' for path, value in self.settings.items())}"


@dataclass(frozen=True)
class Notice:
    """Something that was decided or left out, which a person should know.

    Attributes:
        text: One or more sentences.
        level: ``warning`` where the result would be spoilt if the decision were wrong, else ``note``.
        remedies: Settings that decide otherwise.
        code: For programs; empty for a plain note.
    """

    text: str
    level: Level = "note"
    remedies: tuple[Remedy, ...] = ()
    code: str = ""

    def __str__(self) -> str:
        """The text, and what to set to have it otherwise."""
        return " ".join([self.text, *(f"To {remedy}." for remedy in self.remedies)])

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` gives an equal object back."""
        remedies = [{"label": r.label, "settings": dict(r.settings)} for r in self.remedies]
        return {"text": self.text, "level": self.level, "remedies": remedies, "code": self.code}

    @classmethod
    def from_json(cls, value: str | Mapping[str, Any]) -> Notice:
        """Inverse of ``to_json``; a string, as earlier versions wrote it, is a note."""
        if isinstance(value, str):
            return cls(value)
        remedies = tuple(Remedy(r["label"], r["settings"]) for r in value["remedies"])
        return cls(value["text"], value["level"], remedies, value["code"])


class MendableError(DataError):
    """An error that settings would mend: what is ambiguous is asked.

    Attributes:
        remedies: The choices.
    """

    def __init__(self, message: str, *, remedies: Sequence[Remedy]) -> None:
        self.remedies = tuple(remedies)
        self.what = message
        super().__init__("".join([message, *(f"\n  to {remedy}" for remedy in self.remedies)]))


def _written(value: Any) -> str:
    """As it is typed in a shell: quoted, if it has to be."""
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list | tuple) else shlex.quote(str(value))
