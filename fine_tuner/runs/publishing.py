"""What the owner shows of a run to those with a viewer's link: kept in the run's ``notes.json``, nothing by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fine_tuner.base.files import change_json, read_json
from fine_tuner.runs.layout import RunFolder

_KEY = "published"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What is shown.

    Attributes:
        run: Its curves and progress.
        model: Its best weights answer for pictures of viewers; never without ``run``.
    """

    run: bool = False
    model: bool = False


def published(run: RunFolder) -> Published:
    """What is shown of a run; anything odd in the file counts as nothing."""
    found = (read_json(run.notes) or {}).get(_KEY)
    if not isinstance(found, dict) or found.get("run") is not True:
        return Published()
    return Published(run=True, model=found.get("model") is True)


def publish(run: RunFolder, wish: Published) -> Published:
    """Show, or stop to show; returns what is shown now.

    Raises:
        OSError: If the run's folder cannot be written.
    """
    wish = Published(run=wish.run, model=wish.run and wish.model)
    change_json(run.notes, lambda notes: _without(notes) | ({_KEY: asdict(wish)} if wish.run else {}))
    return wish


def _without(notes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in notes.items() if key != _KEY}
