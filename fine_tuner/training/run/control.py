"""Wishes from outside, asked for between steps: requests in ``control/`` and signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any, Literal

from fine_tuner.distributed.ranks import Ranks
from fine_tuner.runs.control import clear, pending
from fine_tuner.runs.layout import RunFolder

Wish = Literal["stop", "pause"]


class RunControl:
    """What the user wants of the run. SIGINT, SIGTERM and SIGHUP are the wish to stop.

    A second SIGINT interrupts at once, for a person who does not want to wait for the step.

    Args:
        run: The folder that the first rank looks into, for all.
        ranks: The processes that train the run; a signal to any of them is one to all.
    """

    def __init__(self, run: RunFolder, ranks: Ranks | None = None) -> None:
        self._run, self._ranks = run, ranks or Ranks()
        self._has_requests: bool | None = None  # when the ranks last agreed on what is wanted
        self._is_signalled = False
        self._replays: list[tuple[int, Mapping[str, Any]]] = []
        self._pending: dict[str, Mapping[str, Any]] = {}

    def listen(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as the wish to stop, unless nohup ignores it; in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self._on_signal)  # the terminal was closed

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_signalled and number == signal.SIGINT:
            signal.default_int_handler(number, frame)  # raises KeyboardInterrupt
        self._is_signalled = True

    def wanted(self) -> Wish | None:
        """The wish to end this attempt, if there is one."""
        requests = pending(self._run) if self._ranks.is_first else {}
        stop, pause, self._has_requests = self._ranks.agree(
            self._is_signalled or "stop" in requests, "pause" in requests, bool(requests)
        )
        return "stop" if stop else "pause" if pause else None

    def is_asked_to_end(self) -> bool:
        """The same, of this rank alone and without the others."""
        return self._is_signalled or not {"stop", "pause"}.isdisjoint(pending(self._run))

    def changes(self, step: int) -> list[Mapping[str, Any]]:
        """Settings to change after ``step`` steps: those of an earlier attempt that died since, then the new ones."""
        due = [wish for at, wish in self._replays if at <= step]
        self._replays = [(at, wish) for at, wish in self._replays if at > step]
        self._pending = self._requests()  # looked at once for all that is asked between two steps
        wish = self._pending.get("set")
        if wish is not None:
            self._clear("set")
            due.append(wish)
        return due

    def _requests(self) -> dict[str, Mapping[str, Any]]:
        """What lies in the folder, on all ranks; several look only if they agreed that something does."""
        if self._ranks.world_size == 1:
            return pending(self._run)
        has_some, self._has_requests = self._has_requests, None
        return {} if has_some is False else self._ranks.share(pending(self._run) if self._ranks.is_first else {})

    def _clear(self, *what: str) -> None:
        if self._ranks.is_first:
            clear(self._run, *what)

    def replay(self, changes: list[tuple[int, Mapping[str, Any]]]) -> None:
        """Make these changes again, each after the steps given."""
        self._replays = list(changes)

    def wants_checkpoint(self) -> bool:
        """Whether a checkpoint was asked for, when ``changes`` last looked."""
        return self._take("checkpoint")

    def wants_validation(self) -> bool:
        """Whether a validation was asked for, when ``changes`` last looked."""
        return self._take("evaluate")

    def _take(self, what: str) -> bool:
        wanted = self._pending.pop(what, None) is not None
        if wanted:
            self._clear(what)
        return wanted

    def done(self) -> None:
        """Forget the wishes: they are fulfilled."""
        self._clear("stop", "pause")
