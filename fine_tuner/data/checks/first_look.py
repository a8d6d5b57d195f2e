"""What data seems to be, and what there is to say of it before any picture is opened.

In the words of the check, of planning and of training, which say the same and what only the pictures tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress
from fine_tuner.data.checks.check import about_notices, about_problems, unusable, worst_first
from fine_tuner.data.checks.findings import DataFinding, can_train, lines_of
from fine_tuner.data.options import ReadOptions
from fine_tuner.data.readers.recognise import Glance, glance_at
from fine_tuner.data.sources import take_survey

MOST_MASKS = 512  # that are read; more take longer than someone who types a path will wait


@dataclass(frozen=True)
class FirstLook:
    """What was recognised, and what is known of it.

    Attributes:
        path: As named by the user.
        glance: What it seems to be.
        notices: What was decided or left out.
        findings: Errors first.
    """

    path: str
    glance: Glance
    notices: tuple[str, ...] = ()
    findings: tuple[DataFinding, ...] = ()

    @property
    def can_train(self) -> bool:
        """Whether a run would start, as far as it can be told."""
        return can_train(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        findings = [asdict(finding) for finding in self.findings]
        known = {"notices": list(self.notices), "findings": findings, "can_train": self.can_train}
        return {"path": self.path, **asdict(self.glance), **known}

    def __str__(self) -> str:
        """Some lines for a terminal."""
        return "\n".join([f"{self.glance.words}: task={self.glance.task}", *lines_of(self.notices, self.findings)])


class _ManyMasksError(Exception):
    """More masks than are read at a first look."""


def look_at(path: str, *, val_fraction: float, seed: int, options: ReadOptions, progress: OnProgress) -> FirstLook:
    """The first look at what ``data.path`` names; a zip is unpacked for it.

    Args:
        path: As ``data.path``.
        val_fraction: Share of validation where the data has no val split.
        seed: Decides that split.
        options: What the user chose; what that settles is no error any more.
        progress: Called as ``progress(what, done, total)`` while a zip is unpacked.

    Raises:
        DataError: If there is nothing of the kind, or nothing that can be told.
    """
    glance = glance_at(path, progress, options)
    if glance.layout == "auto":  # the sample, or a data set of torchvision's, which is not fetched for a look
        return FirstLook(path, glance)
    try:
        survey = take_survey(
            path, task=glance.task, val_fraction=val_fraction, seed=seed, options=options, progress=_while_few,
            opens_pictures=False,
        )  # fmt: skip
    except _ManyMasksError as many:
        said = f"What {many.args[0]:,} masks hold is not read at a first look: a check of the data and a plan say it."
        return FirstLook(path, glance, notices=(said,))
    except DataError as error:
        return FirstLook(path, glance, findings=(unusable(error, glance.task, glance.task),))
    told = survey.data.notices
    findings = [*about_problems(survey.problems, options), *about_notices(told)]
    glance = replace(glance, words=survey.data.kind)
    return FirstLook(path, glance, tuple(n.text for n in told if not n.code), worst_first(findings))


def _while_few(what: str, done: float, total: float | None) -> None:
    """Ends the reading of many masks; those that were read are remembered."""
    if total is not None and total > MOST_MASKS:
        raise _ManyMasksError(int(total))
