"""The kinds of jobs on the set-up's page: from what is asked to the work that is done.

==============  ==========================================================  ==========================
kind            work                                                        while another is under way
==============  ==========================================================  ==========================
``check``       ``check-data``, with small pictures of its examples         takes its place
``finder``      ``find-lr``                                                 is refused
``precisions``  ``compare-precisions``                                      is refused, as for ``batch``
``batch``       ``find-batch``                                              is refused, likewise
``loss``        the check of a loss of the user's own, in a child process   takes its place
==============  ==========================================================  ==========================
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from fine_tuner.config.argv import check_argv
from fine_tuner.config.sections.losses import CUSTOM
from fine_tuner.config.settings import Settings
from fine_tuner.launch.assistant import CANCELLED, Assistant, Reply
from fine_tuner.losses.verdicts import custom_losses, given_to
from fine_tuner.planning.loss_checks import check_code
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.job import Command, Hear, Job, Stoppable, Turn, Work
from fine_tuner.ui.jobs.questions import Answer, Question, checked_argv, checked_settings

LONGEST_CHECK_SECONDS = 24 * 3600.0  # a data set may have to be downloaded first
SWEEP_STEPS = 100


class JobQuestion(Question):
    """Work that the page asks for, with the settings in the form.

    Attributes:
        steps: Of the sweep of ``finder``.
        global_batch: Of ``batch``: images that are to make one step; None: as many as fit at once.
        section: Of ``loss``: which of the losses.
    """

    steps: Annotated[int, Field(ge=2, le=1000)] = SWEEP_STEPS
    global_batch: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    section: Annotated[str, Field(pattern="^(loss|second_loss)$")] = "loss"


Make = Callable[[int], Work]
Begin = tuple[Make, list[str]]  # the work, and what it depends on: as the page compares it with the form


class Jobs:
    """One job of each kind.

    Args:
        allowed: What the page permits.
        sweeper: Runs sweeps, between other questions.
        checker: Runs checks of the data.
        make_process: A process that begins and ends with one measurement, so that what it reads of its own memory is
            not that of earlier questions.
        check_loss: The check of a loss; see ``planning.loss_checks.check_code``.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        sweeper: Assistant | None = None,
        checker: Assistant | None = None,
        make_process: Callable[[], Assistant] = Assistant,
        check_loss: Callable[..., dict[str, Any]] = check_code,
    ) -> None:
        self._allowed = allowed
        self._sweeper = sweeper or Assistant()
        self._checker = checker or Assistant()
        self._make_process = make_process
        self._check_loss = check_loss
        self._pictures: Path | None = None
        measuring = Turn()
        self._jobs = {
            "check": Job(replaces=True),
            "finder": Job(),
            "precisions": Job(measuring),
            "batch": Job(measuring),
            "loss": Job(replaces=True),
        }
        self._begin: Mapping[str, Callable[[JobQuestion], Begin | Answer]] = {
            "check": self._begin_check,
            "finder": self._begin_finder,
            "precisions": lambda question: self._begin_measuring("compare-precisions", question, []),
            "batch": self._begin_batch,
            "loss": self._begin_loss,
        }

    def __getitem__(self, kind: str) -> Job:
        """The job of a kind; KeyError if there is none."""
        return self._jobs[kind]

    def __contains__(self, kind: str) -> bool:
        """Whether there is such a kind."""
        return kind in self._jobs

    def refusal(self, kind: str) -> str:
        """Why a kind is not offered here; empty if it is."""
        return self._allowed.why_no_code if kind == "loss" else ""

    def start(self, kind: str, question: JobQuestion) -> dict[str, Any] | None:
        """The state once it began; with wrong settings nothing begins, and the state says which. None: it is busy."""
        begun = self._begin[kind](question)
        if isinstance(begun, Answer):
            return {"status": "failed", "errors": dict(begun.errors)}
        make, argv = begun
        return self._jobs[kind].state() if self._jobs[kind].start(make, argv=argv) else None

    def picture(self, number: int, name: str) -> Path | None:
        """The file of a small picture of check ``number``; None if it is none of the last check's."""
        if self._pictures is None:
            return None
        path = self._pictures / str(number) / Path(name).name
        return path if path.suffix == ".png" and path.is_file() else None

    def close(self) -> None:
        """End all work and the processes, and delete the pictures."""
        for job in self._jobs.values():
            job.cancel()
        self._sweeper.close()
        self._checker.close()
        if self._pictures is not None:
            shutil.rmtree(self._pictures, ignore_errors=True)

    # ------------------------------------------------------------------ from question to work
    def _begin_check(self, question: JobQuestion) -> Begin | Answer:
        settings = checked_settings(question, self._allowed, only="data.")
        if isinstance(settings, Answer):
            return settings
        argv = check_argv(settings)

        def make(number: int) -> Work:
            command = [*argv, "--thumbnails", str(self._new_folder(number)), "--json"]
            return Command(self._checker, command, timeout=LONGEST_CHECK_SECONDS)

        return make, argv

    def _begin_finder(self, question: JobQuestion) -> Begin | Answer:
        argv = checked_argv(question, self._allowed, keep_code=True)
        if isinstance(argv, Answer):
            return argv
        runs_code = any(word.endswith(f".name={CUSTOM}") for word in argv)

        def then(reply: Reply) -> None:
            if runs_code:  # nothing else meets what it left behind
                self._sweeper.renew()
            elif reply.code == CANCELLED:  # ready for the next question
                self._sweeper.start()

        command = ["find-lr", *argv, "--steps", str(question.steps), "--json"]
        return lambda number: Command(self._sweeper, command, then=then), question.argv

    def _begin_batch(self, question: JobQuestion) -> Begin | Answer:
        wanted = [] if question.global_batch is None else ["--global-batch", str(question.global_batch)]
        return self._begin_measuring("find-batch", question, wanted)

    def _begin_measuring(self, name: str, question: JobQuestion, options: list[str]) -> Begin | Answer:
        argv = checked_argv(question, self._allowed)
        if isinstance(argv, Answer):
            return argv

        def make(number: int) -> Work:
            process = self._make_process()
            return Command(process, [name, *argv, *options, "--json"], then=lambda reply: process.close())

        return make, question.argv

    def _begin_loss(self, question: JobQuestion) -> Begin | Answer:
        settings = checked_settings(question, self._allowed)
        if isinstance(settings, Answer):
            return settings
        if question.section not in custom_losses(settings):
            return Answer(errors={f"{question.section}.name": texts.NO_CODE_CHOSEN})
        return lambda number: Stoppable(self._loss_check(settings, question.section)), question.argv

    def _loss_check(self, settings: Settings, section: str) -> Callable[[Hear, Callable[[], bool]], Mapping[str, Any]]:
        loss = custom_losses(settings)[section]

        def check(hear: Hear, should_stop: Callable[[], bool]) -> Mapping[str, Any]:
            return self._check_loss(
                loss.file, task=settings.task, entry=loss.entry, given=given_to(loss), settings=settings,
                should_stop=should_stop, on_stage=lambda stage: hear({"progress": stage}),
            )  # fmt: skip

        return check

    def _new_folder(self, number: int) -> Path:
        """Where check ``number`` may write pictures; those of the one before are deleted."""
        if self._pictures is None:
            self._pictures = Path(tempfile.mkdtemp(prefix="fine-tuner-check-"))
        for old in self._pictures.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        return self._pictures / str(number)
