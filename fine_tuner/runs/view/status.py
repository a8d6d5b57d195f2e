"""Status of a run: last lifecycle event x kernel locks x control files x exit.json.

================================  =================================================================
a process lives                   running; stopping once stop or pause was asked; the outcome, once it has said one
no process, ``queued.json``       queued
no process, exit.json of          by its code or signal: see ``_from_exit``
  an attempt without outcome
no process, an outcome            completed, stopped, paused or failed
no process, none of these         lost: it died, or its machine did, before it could say anything
================================  =================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fine_tuner.base.files import open_plain, read_json
from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import find_holder, is_handed, read_description
from fine_tuner.runs.log.facts import Facts

Status = Literal["queued", "running", "paused", "stopping", "completed", "stopped", "failed", "lost"]
LIVE: frozenset[str] = frozenset({"queued", "running", "stopping"})

# What has to be mended after a failure. The worker says it in the summary of its last event; else its words tell.
# memory: even a single image was too much; killed: the process ended where halving could not be tried.
Cause = Literal["weights", "data", "setting", "memory", "killed", "disk", "numbers", "other"]
CAUSES: tuple[str, ...] = get_args(Cause)

_STARTING_SECONDS = 15.0  # from making the folder to the first lock, when nobody queued it: a start by hand
_LOG_TAIL_LINES = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Vital:
    """Signs of life of a run, gathered at one moment.

    Attributes:
        is_training: A process holds the worker lock.
        is_launched: A launched process lives, whether or not it holds the worker lock yet.
        launched_attempt: The attempt that the launched process is to record; 0 if none was launched.
        requests: Names of control files.
    """

    is_training: bool = False
    is_launched: bool = False
    launched_attempt: int = 0
    requests: frozenset[str] = frozenset()
    queued: Mapping[str, Any] | None = None
    exit: Mapping[str, Any] | None = None
    is_new: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether a process is at work on the run."""
        return self.is_training or self.is_launched


def look(run: RunFolder) -> Vital:
    """Gather the signs of life of a run; a few system calls.

    In the order in which a run moves on (made, queued, at work, ended), so that one that moves meanwhile is never seen
    in none of these.
    """
    is_new, queued = _is_new(run), read_json(run.queued)
    holder = find_holder(run.lock)
    launched, attempt = False, 0
    if run.launch_lock.exists():
        launch = read_description(run.launch_lock)
        attempt = launch.get("attempt", 0)
        attempt = attempt if isinstance(attempt, int) else 0
        token = launch.get("launch")
        if holder is not None:
            launched = holder.launch == token
        else:  # children of a dead worker may hold launch.lock a little longer: once it has taken over, it alone counts
            launched = is_handed(run.launch_lock) and read_description(run.lock).get("launch") != token
            if not launched:  # or it has taken over since we looked
                holder = find_holder(run.lock)
                launched = holder is not None and holder.launch == token
    return Vital(
        is_training=holder is not None,
        is_launched=launched,
        launched_attempt=attempt if launched else 0,
        requests=frozenset(control.pending(run)),
        queued=queued,
        exit=read_json(run.exit),
        is_new=is_new,
    )


def _is_new(run: RunFolder) -> bool:
    try:
        return not run.lock.exists() and abs(time.time() - run.info.stat().st_mtime) < _STARTING_SECONDS
    except OSError:
        return False


def derive(facts: Facts, vital: Vital) -> Status:
    """Status of a run."""
    outcome = facts.outcome if facts.attempt >= vital.launched_attempt else None
    if vital.is_alive:
        if outcome:
            return outcome
        return "stopping" if vital.requests & {"stop", "pause"} else "running"
    if vital.queued is not None:
        return "queued"
    ended = exit_of(facts, vital)
    if ended is not None:
        return _from_exit(facts, vital, ended)
    if outcome:
        return outcome
    return "queued" if facts.attempt == 0 and vital.is_new else "lost"


def exit_of(facts: Facts, vital: Vital) -> Mapping[str, Any] | None:
    """exit.json if it tells the end of the newest attempt, and that attempt did not tell its outcome itself."""
    if vital.exit is None:
        return None
    attempt = vital.exit.get("attempt", 0)
    if not isinstance(attempt, int) or attempt < facts.attempt or (attempt == facts.attempt and facts.outcome):
        return None
    return vital.exit


def _from_exit(facts: Facts, vital: Vital, ended: Mapping[str, Any]) -> Status:
    """A worker that says nothing itself: asked to stop, it stopped; a signal is a loss; a code is a failure."""
    if ended.get("cancelled") or ended.get("code") == 130 or "stop" in vital.requests:
        return "stopped"
    if ended.get("code") == 0:
        return "completed" if 0 < facts.total_steps <= facts.step else "lost"
    return "failed" if isinstance(ended.get("code"), int) else "lost"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed or was lost.

    Attributes:
        text: What happened.
        advice: What to do first.
        log: Last lines of what the worker printed.
        cause: What has to be mended.
        says_what_to_do: ``text`` is the worker's own and ends with it, so that ``advice`` would only distract.
    """

    text: str
    advice: str
    log: tuple[str, ...]
    cause: Cause = "other"
    says_what_to_do: bool = False


def explain(run: RunFolder, facts: Facts, vital: Vital, status: Status, *, can_resume: bool) -> Failure | None:
    """Why a run failed or was lost; None for every other status."""
    if status not in ("failed", "lost"):
        return None
    ended = exit_of(facts, vital) or {}
    log = tuple(str(line) for line in ended.get("log") or ()) or tail(run)
    spoken = next((line.strip() for line in reversed(log) if line.strip()), "")
    where = f"at step {facts.step} of {facts.total_steps}" if facts.total_steps else "before its first step"
    is_said = bool(facts.error) and facts.outcome == "failed" and not ended
    if is_said:
        text = facts.error
    elif ended.get("signal"):
        text = f"The training process was ended by {ended['signal']} {where}."
    elif ended.get("code"):
        text = f"The training process ended with exit code {ended['code']} {where}" + (f": {spoken}" if spoken else ".")
    else:
        text = f"The training process ended {where} without a last word: it was killed, or the machine went down."
    said = facts.summary.get("cause") if status == "failed" and not ended else None
    cause: Cause = said if said in CAUSES else _cause(f"{text}\n{spoken}", ended)
    return Failure(text, _advice(cause, can_resume=can_resume), log, cause, is_said)


def _cause(text: str, ended: Mapping[str, Any]) -> Cause:
    """What has to be mended, from the last words of a process that did not say it as data."""
    folded = text.casefold()
    has_no_memory = any(words in folded for words in ("out of memory", "outofmemory", "can't allocate memory"))
    if has_no_memory or ended.get("signal") == "SIGKILL":
        return "killed"
    if "no space left" in folded or "disk full" in folded or "file too large" in folded:
        return "disk"
    return "setting" if ended.get("code") == 2 else "other"


def _advice(cause: Cause, *, can_resume: bool) -> str:
    onward = "Resume goes on from the last checkpoint." if can_resume else "Start it again."
    match cause:
        case "memory":
            return "Choose a smaller data.image_size or model.name, or half precision, and start again."
        case "killed":
            return (
                "Most often the machine ran out of memory: halve train.batch_size and double train.accumulate, or "
                "lower data.num_workers. " + onward
            )
        case "disk":
            return "Free some space on the disk of the runs folder. " + onward
        case "setting" | "data" | "weights":
            return "Correct the settings and start again."
    return onward


def tail(run: RunFolder, lines: int = _LOG_TAIL_LINES) -> tuple[str, ...]:
    """Last lines of what the worker printed; () if there is nothing."""
    try:
        with open_plain(run.log) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    # a progress bar rewrites its line with carriage returns: the last state is the line
    return tuple(line.rsplit("\r", 1)[-1] for line in text.rstrip().split("\n") if line.strip())[-lines:]
