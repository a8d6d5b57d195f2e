"""What will happen, before it does: plans, pictures and forecasts, asked of the assistant and kept while they hold.

The assistant answers one request after another. A person who types fast asks faster than that, so a question that a
newer one of the same visitor has overtaken is not asked at all.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fine_tuner.config.io import FIELDS
from fine_tuner.ui import texts

KEPT = 64
_PATHS = {f.path for f in FIELDS}


class Reply(Protocol):
    """The assistant's answer to one command: exit code, standard output and error."""

    code: int
    out: str
    err: str


Ask = Callable[[Sequence[str]], Reply]


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


class Questions:
    """Commands with ``--json`` asked of the assistant, the last answers remembered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._busy = threading.Lock()
        self._known: OrderedDict[tuple[str, ...], Answer] = OrderedDict()
        self._wanted: dict[tuple[str, str], int] = {}

    def answer(self, argv: Sequence[str], *, visitor: str = "", number: int = 0, keep: bool = True) -> Answer:
        """Answer to ``python -m fine_tuner ARGV``, waiting for its turn.

        Args:
            argv: The command; its first word is the kind of question.
            visitor: Whose question it is; empty: it is never overtaken.
            number: Counts up with each question of this visitor.
            keep: The answer holds until ``forget``; False for what changes while nobody touches the settings.
        """
        key, asker = tuple(argv), (visitor, argv[0])
        if visitor:
            self._wanted[asker] = max(number, self._wanted.get(asker, 0))
        with self._busy:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            if visitor and self._wanted.get(asker, 0) > number:
                return Answer(is_overtaken=True)
            answer = read_reply(self._ask(argv))
            if keep and answer.value is not None:
                self._known[key] = answer
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return answer

    def forget(self) -> None:
        """Ask everything anew: files may have changed."""
        with self._busy:
            self._known.clear()


def read_reply(reply: Reply) -> Answer:
    """The JSON object on the last line that a command printed, or its error by setting."""
    if reply.code == 0:
        for line in reversed(reply.out.strip().splitlines()):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            return Answer(value=value if isinstance(value, dict) else {"items": value})
        return Answer(errors={"": texts.NO_ANSWER.format(error="no JSON")})
    if reply.code == 2:
        return Answer(errors=errors_in(reply.err), is_wrong_input=True)
    last_line = (reply.err.strip().splitlines() or ["no message"])[-1]
    return Answer(errors={"": texts.NO_ANSWER.format(error=last_line)})


def errors_in(text: str) -> dict[str, str]:
    """Messages by dotted path from what a command wrote to standard error, one ``path: message`` per line."""
    found: dict[str, str] = {}
    path = ""
    for line in text.strip().splitlines():
        match = re.match(r"(?:error: )?([a-z_][\w.]*): (.+)", line)
        if match and (match[1] in _PATHS or match[1].endswith(".name")):
            path, line = match[1], match[2]
        found[path] = f"{found[path]}\n{line}" if path in found else line
    return found or {"": texts.NO_ANSWER.format(error="no message")}
