"""``RunView``: everything the page, the command line and a notebook show of one run, from its folder alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fine_tuner.base.files import read_json
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log import cache
from fine_tuner.runs.log.events import Mark
from fine_tuner.runs.log.facts import Checkpoint, Facts, Remark
from fine_tuner.runs.log.fold import Fold
from fine_tuner.runs.log.series import Series
from fine_tuner.runs.queue import read_waiting
from fine_tuner.runs.view.progress import BestValue, RunProgress, find_best, measure, phase_of
from fine_tuner.runs.view.sentences import lost_text, sentence
from fine_tuner.runs.view.status import LIVE, Failure, Status, Vital, derive, explain, look

_UNSAVED_BYTES = 16 << 20  # of log read since the cache was written: a quarter of a second to read again ...
_UNSAVED_SHARE = 8  # ... or this part of the log, so that a long run does not write its cache all the time

_REAP_SECONDS = 0.5


class RunView:
    """One run as of the last ``refresh``.

    Reading attributes from several threads is safe; to read several that must fit together, hold ``lock``.

    >>> import tempfile; from pathlib import Path
    >>> view = RunView(RunFolder(Path(tempfile.mkdtemp())))
    >>> view.status, view.progress.step, list(view.series)
    ('lost', 0, [])
    """

    def __init__(
        self, run: RunFolder, *, use_cache: bool = True, on_read: Callable[[float], object] | None = None
    ) -> None:
        """Read the folder once; ``refresh`` reads on. ``on_read`` hears how much of a long log has been read."""
        self.run = run
        self.lock = threading.RLock()
        self._use_cache = use_cache
        self._fold = (cache.load(run) if use_cache else None) or Fold()
        self._cached_offset = self._fold.offset
        self._vital = Vital()
        self._restarts = 0
        self._lost_at: float | None = None
        self._looked_at, self._read_at, self._age_then = float("-inf"), time.monotonic(), 0.0
        self._info: Mapping[str, Any] | None = None
        self._failure: tuple[tuple[object, ...], Failure | None] = ((), None)
        self.status: Status = "lost"
        self._fold.read(run.events, on_read)
        self._note_age()
        self.refresh()

    def refresh(self) -> bool:
        """Read on, look for signs of life. True if anything changed that a page shows."""
        with self.lock:
            before = (self.status, self._vital)
            has_news, status = self._look_and_read()
            more = has_news
            while status == "lost" and more:  # the news may be of a worker that began after the look: look again
                more, status = self._look_and_read()
            self._set_status(status)
            self._save_cache()
            return has_news or before != (self.status, self._vital)

    def _look_and_read(self) -> tuple[bool, Status]:
        """Whether the log had more to say, and the status that follows."""
        # First the signs of life, then the log: a worker found dead has said all it ever will.
        self._vital = look(self.run)
        looked_at, self._looked_at = self._looked_at, time.monotonic()
        news = self._fold.read(self.run.events)
        if news is None:  # the log was cut (power loss) or replaced: begin again
            self._fold, self._cached_offset = Fold(), 0
            self._restarts += 1
            self._fold.read(self.run.events)
            news = True
        if news:
            self._note_age(looked_at)
        return news, derive(self._fold.facts, self._vital)

    def _note_age(self, looked_at: float = float("-inf")) -> None:
        """How old the last event is, once; from now on our own clock counts, which nobody sets.

        It was not there when we looked before, at ``looked_at``; of what was there at the first look only dates tell.
        """
        self._read_at = time.monotonic()
        by_date = max(0.0, time.time() - (self._fold.facts.time_ms or 0) / 1000)
        self._age_then = min(by_date, self._read_at - looked_at)

    def _set_status(self, status: Status) -> None:
        """Take a new status, but give the launcher a moment to write why a worker died before calling it lost."""
        if status != "lost" or self.status not in LIVE or self._vital.exit or not self.run.launch_lock.exists():
            self._lost_at = None
        elif self._lost_at is None:
            self._lost_at = time.monotonic()
        if self._lost_at is None or time.monotonic() - self._lost_at > _REAP_SECONDS:
            self.status = status

    def _save_cache(self) -> None:
        unsaved = self._fold.offset - self._cached_offset
        much = max(_UNSAVED_BYTES, self._fold.offset // _UNSAVED_SHARE)
        if self._use_cache and unsaved and (unsaved > much or self.status not in LIVE):
            if unsaved > 1 << 16 or self._fold.offset > 1 << 20:  # below, reading the log is as fast
                cache.save(self.run, self._fold)
            self._cached_offset = self._fold.offset

    # ---------------------------------------------------------------- facts
    @property
    def id(self) -> str:
        """Name of the run folder."""
        return self.run.id

    @property
    def info(self) -> Mapping[str, Any]:
        """run.json; {} if it is missing."""
        if not self._info:
            self._info = read_json(self.run.info) or {}
        return self._info

    @property
    def started(self) -> Mapping[str, Any]:
        """What ``run_started`` said of the newest attempt: device, precision, classes, groups, schedule, ..."""
        return self._fold.facts.started

    @property
    def facts(self) -> Facts:
        """All of the fold that is not a curve: attempt, seq, step, times."""
        return self._fold.facts

    @property
    def vital(self) -> Vital:
        """Signs of life: locks, control files, queue."""
        return self._vital

    @property
    def series(self) -> Mapping[str, Series]:
        """Curves by metric key, in the order in which they appeared."""
        return self._fold.series

    @property
    def messages(self) -> tuple[Remark, ...]:
        """What was said, oldest first, the last 500; before it, what is wrong with the log."""
        facts = self._fold.facts
        if not facts.lost:
            return tuple(self._fold.messages)
        lost = Remark(-1, (facts.first_time_ms or 0) / 1000, "warning", lost_text(facts.lost), facts.lost_step)
        return (lost, *self._fold.messages)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What to mark on the curves."""
        return tuple(self._fold.marks)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Checkpoints recorded as complete, oldest first."""
        return tuple(self._fold.checkpoints)

    @property
    def generation(self) -> str:
        """Changes whenever points that a reader may hold are no longer true."""
        return f"{self._fold.facts.rewinds}" + (f"r{self._restarts}" if self._restarts else "")

    # -------------------------------------------------------------- derived
    @property
    def phase(self) -> str:
        """What the run is doing, in plain words; "" unless queued, running or stopping."""
        vital, facts = self._vital, self._fold.facts
        if self.status == "queued":
            if vital.queued is None:
                return "starting"
            return "waiting for the device" if read_waiting(self.run) else "queued elsewhere, which starts nothing here"
        if self.status == "stopping":
            return "saving" if "stop" in vital.requests else "saving, then pausing"
        if self.status == "running":
            return "starting" if facts.attempt < vital.launched_attempt else phase_of(facts)
        return ""

    @property
    def progress(self) -> RunProgress:
        """How far, how fast, how long still."""
        return measure(self._fold.facts, self.series, is_alive=self._vital.is_alive and self.status in LIVE)

    @property
    def best(self) -> BestValue | None:
        """Best value so far of the metric that chooses the best checkpoint."""
        return find_best(self._fold.facts, self.series)

    @property
    def failure(self) -> Failure | None:
        """Why the run failed or was lost, and what to do first; None otherwise."""
        facts = self._fold.facts
        key = (self.status, facts.seq, self._vital.exit and self._vital.exit.get("time"))
        if self._failure[0] != key:
            found = explain(self.run, facts, self._vital, self.status, can_resume=self.can_resume)
            self._failure = (key, found)
        return self._failure[1]

    @property
    def can_resume(self) -> bool:
        """Whether there is a complete checkpoint with state to go on from."""
        return any(self.run.checkpoints.glob("step-*/manifest.json"))

    @property
    def sentence(self) -> str:
        """What a person wants to know first, in one sentence or two."""
        problem = self.failure.text if self.failure else None
        text = sentence(self.status, self.phase, self.progress, self.best, self.series, problem)
        lost = self._fold.facts.lost
        return f"{text} {lost_text(lost)}" if lost else text

    @property
    def last_event_age(self) -> float | None:
        """Seconds since the worker last said something, never negative; None before its first word.

        By how long we have watched in vain, and of what was there before by its date: a clock that is set hides no
        silence and makes none.
        """
        if self._fold.facts.time_ms is None:
            return None
        return self._age_then + time.monotonic() - self._read_at

    def values(self, keys: Iterable[str]) -> dict[str, Series]:
        """Those of ``keys`` that have points."""
        return {key: self.series[key] for key in keys if key in self.series}
