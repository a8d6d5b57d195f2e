"""Checks of the user's own loss under way: each in a thread that waits for a child process, where the code runs."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fine_tuner.config.settings import Settings
from fine_tuner.planning.loss_checks import check_code, custom_losses
from fine_tuner.ui.jobs import texts

KEPT = 8
Checker = Callable[..., dict[str, Any]]


@dataclass(slots=True)
class _Check:
    began: float = field(default_factory=time.monotonic)
    stage: str = "starting"
    report: dict[str, Any] | None = None
    message: str = ""
    wish: threading.Event = field(default_factory=threading.Event)  # to end


class LossChecks:
    """Starts checks, one at a time: a newer one ends the one before."""

    def __init__(self, check: Checker = check_code) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._checks: OrderedDict[str, _Check] = OrderedDict()

    def start(self, settings: Settings, section: str) -> str:
        """Begin to check the user's loss in ``section`` with the data and network of ``settings``; its id."""
        loss = custom_losses(settings)[section]
        check, name = _Check(), secrets.token_hex(8)
        with self._lock:
            for other in self._checks.values():
                other.wish.set()
            self._checks[name] = check
            while len(self._checks) > KEPT:
                self._checks.popitem(last=False)

        def on_stage(stage: str) -> None:
            check.stage = stage

        def work() -> None:
            try:
                check.report = self._check(
                    loss.file, task=settings.task, entry=loss.entry, settings=settings,
                    should_stop=check.wish.is_set, on_stage=on_stage,
                )  # fmt: skip
            except Exception as error:  # the page must hear of it, whatever it was
                check.message = texts.CHECK_FAILED.format(error=f"{type(error).__name__}: {error}")

        threading.Thread(target=work, name=f"check-{name}", daemon=True).start()
        return name

    def state(self, name: str) -> dict[str, Any] | None:
        """``{"stage", "seconds", "report", "message"}``; ``report`` and ``message`` come at the end."""
        check = self._checks.get(name)
        if check is None:
            return None
        seconds = time.monotonic() - check.began
        return {"stage": check.stage, "seconds": seconds, "report": check.report, "message": check.message}

    def cancel(self, name: str) -> bool:
        """End a check; False if there is none of this name."""
        check = self._checks.get(name)
        if check is not None:
            check.wish.set()
        return check is not None

    def close(self) -> None:
        """End all of them."""
        for check in list(self._checks.values()):
            check.wish.set()
