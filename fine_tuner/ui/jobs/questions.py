"""What will happen, before it does: plans, pictures and forecasts, asked of the assistant and kept while they hold.

Every question about the settings in the form passes one check first: ``checked_argv``.

The assistant answers one request after another. A person who types fast asks faster than that, so a question that a
newer one of the same visitor has overtaken is not asked at all.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import argv_of, settings_of_argv, without_code
from fine_tuner.config.io import to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.launch.assistant import Reply
from fine_tuner.planning.loss_checks import refusals
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.jobs import texts

KEPT = 64
KEPT_SECONDS = 120.0  # files may change
_SETTING_OF = {"DataError": "data.path", "WeightsError": "model.weights"}


Ask = Callable[[Sequence[str]], Reply]


class Question(BaseModel):
    """What the page asks about the settings in the form.

    Attributes:
        argv: Preset and overrides, as on the command line.
        visitor: One browser tab; with ``number`` it tells which questions are overtaken.
        draw: Which pictures; counts reshuffles.
        only: Pictures of this class; empty: of any.
    """

    argv: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=200)]
    visitor: Annotated[str, Field(max_length=64)] = ""
    number: int = 0
    draw: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    only: Annotated[str, Field(max_length=400)] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """JSON that a command printed, or why there is none.

    Attributes:
        value: What it printed; None unless all went well.
        errors: Dotted path of a setting to what is wrong with it; ``""`` for what belongs to no setting.
        is_overtaken: A newer question of the same visitor made this one pointless; it was not asked.
        is_wrong_input: The settings or the data are wrong, as opposed to the machinery.
    """

    value: Mapping[str, Any] | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    is_overtaken: bool = False
    is_wrong_input: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {"value": self.value, "errors": dict(self.errors), "overtaken": self.is_overtaken}


def checked_settings(question: Question, allowed: Allowed, *, only: str | tuple[str, ...] = "") -> Settings | Answer:
    """The settings asked about, or what is wrong with them.

    Args:
        question: As asked.
        allowed: What this page permits.
        only: Of the paths that are not permitted, those of settings that begin so count.
    """
    try:
        settings = settings_of_argv(question.argv)
    except ConfigError as error:
        return Answer(errors=error.fields)
    errors = {path: text for path, text in path_errors(to_tree(settings), allowed).items() if path.startswith(only)}
    return Answer(errors=errors) if errors else settings


def checked_argv(question: Question, allowed: Allowed, *, keep_code: bool = False) -> list[str] | Answer:
    """The command's arguments, made anew from settings that are valid and within what is allowed here.

    Args:
        question: As asked.
        allowed: What this page permits.
        keep_code: The command runs the user's own loss, so it must have passed its check. Else the task's own loss
            stands in for it, which makes no difference to a plan, to pictures and to planned rates.
    """
    settings = checked_settings(question, allowed)
    if isinstance(settings, Answer):
        return settings
    if keep_code and (errors := refusals(settings)):
        return Answer(errors=errors)
    return argv_of(settings if keep_code else without_code(settings))


class Questions:
    """Commands with ``--json`` asked of the assistant, the last answers remembered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._busy = threading.Lock()
        self._known: OrderedDict[tuple[str, ...], tuple[float, Answer]] = OrderedDict()
        self._wanted: dict[tuple[str, str], int] = {}

    def answer(self, argv: Sequence[str], *, visitor: str = "", number: int = 0, keep: bool = True) -> Answer:
        """Answer to ``python -m fine_tuner ARGV``, waiting for its turn.

        Args:
            argv: The command; its first word is the kind of question.
            visitor: Whose question it is; empty: it is never overtaken.
            number: Counts up with each question of this visitor.
            keep: The answer holds for a while; False for what changes while nobody touches the settings.
        """
        key, asker = tuple(argv), (visitor, argv[0])
        if visitor:
            self._wanted[asker] = max(number, self._wanted.get(asker, 0))
        with self._busy:
            known_at, known = self._known.get(key, (0.0, None))
            if known is not None and time.monotonic() - known_at < KEPT_SECONDS:
                self._known.move_to_end(key)
                return known
            if visitor and self._wanted.get(asker, 0) > number:
                return Answer(is_overtaken=True)
            answer = read_reply(self._ask(argv))
            if keep and answer.value is not None:
                self._known[key] = (time.monotonic(), answer)
                self._known.move_to_end(key)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return answer


def read_reply(reply: Reply) -> Answer:
    """The JSON object on the last line that a command printed, or its error by setting."""
    printed = _last_object(reply.out)
    if reply.code == 2 and (printed is None or "error" in printed):  # a check that found errors is an answer
        return Answer(errors=_errors(printed, reply.err), is_wrong_input=True)
    if reply.code not in (0, 2) or printed is None:
        last_line = (reply.err.strip().splitlines() or ["no message"])[-1]
        return Answer(errors={"": texts.NO_ANSWER.format(error=last_line if reply.code else "no JSON")})
    return Answer(value=printed)


def _last_object(text: str) -> dict[str, Any] | None:
    lines = text.strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _errors(printed: Mapping[str, Any] | None, text: str) -> dict[str, str]:
    """Messages by dotted path, from the error as the command printed it for programs, or else for people."""
    error = (printed or {}).get("error")
    if not isinstance(error, dict):
        return {"": text.strip() or texts.NO_ANSWER.format(error="no message")}
    return error["fields"] or {_SETTING_OF.get(error["kind"], ""): error["message"]}
