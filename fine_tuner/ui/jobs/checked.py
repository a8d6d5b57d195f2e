"""What the page asks about the settings in the form, and the check that every such question passes first."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import argv_of, settings_of_argv, without_code
from fine_tuner.config.io import to_tree
from fine_tuner.config.settings import Settings
from fine_tuner.planning.loss_checks import refusals
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.jobs.questions import Answer


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
