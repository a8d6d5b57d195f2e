"""What to do next with a run: one table from its state, and from what went wrong, to a sentence and buttons.

==========  ==========================================================================
completed   Try it · What it gets wrong · Download · Train further
stopped     Resume, where there is a checkpoint, else Start it again; what weights allow
paused      Resume; what weights allow
failed      the button that mends it, by cause: see ``_MENDS``
lost        Resume, where there is a checkpoint, else Start it again; killed: with fewer images at a time
queued      Cancel
==========  ==========================================================================

A button is an action that the page knows how to do (``ACTIONS``) with a label; settings are dotted paths to values that
replace those of the run in a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fine_tuner.base.errors import ConfigError
from fine_tuner.base.text import counted
from fine_tuner.config.io import read_tree
from fine_tuner.config.knobs import lookup
from fine_tuner.config.metric_specs import MEAN_IOU, R2, metric_name, metric_of, metric_text
from fine_tuner.runs.view.progress import BestValue, duration_text
from fine_tuner.runs.view.result_words import mistakes_in_words
from fine_tuner.runs.view.run_view import RunView
from fine_tuner.runs.view.status import Cause, Status

Action = Literal[
    "try",  # go to the Try tab with this run
    "wrong",  # show what the network gets wrong
    "download",  # the best weights
    "extend",  # more epochs, ``epochs`` in all
    "resume",
    "start",  # a new run with the run's settings, but for ``settings``
    "change",  # fill the set-up likewise, and go to the field ``focus``
    "stop",
]
ACTIONS: tuple[str, ...] = get_args(Action)


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """One button.

    Attributes:
        settings: Of the new run, by dotted path.
        focus: Dotted path of the setting to choose.
        epochs: In all, for ``extend``.
    """

    action: Action
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    focus: str = ""
    epochs: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What a next step depends on.

    Attributes:
        cause: Of a failure or loss.
        best: The best validation so far.
        values: The other metrics of that validation, by key.
        val_images: How many images were validated.
        epochs: Of the run.
        mistakes: What it gets wrong most often, in words.
        settings: The run's own, by dotted path, as far as a mend needs them.
    """

    status: Status
    cause: Cause = "other"
    can_resume: bool = False
    has_weights: bool = False
    best: BestValue | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    val_images: int = 0
    epochs: int = 0
    seconds: float = 0.0
    queue: int | None = None
    mistakes: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Onward:
    """A sentence, and the buttons below it, the one to press first in front."""

    text: str
    steps: tuple[NextStep, ...]


def next_steps(now: Situation) -> Onward | None:
    """What to do next; None while a run is at work."""
    match now.status:
        case "completed":
            text = f"Completed {counted(now.epochs, 'epoch')} in {duration_text(now.seconds)}."
            further = NextStep(action="extend", label="Train further", epochs=2 * now.epochs)
            steps = (*_uses(now), *_if(now.can_resume, further))
            return Onward(text=_joined(text, best_in_words(now), now.mistakes), steps=steps or (_again(),))
        case "stopped" | "paused":
            kept = "" if now.has_weights else "It has no weights yet: they are kept at each validation."
            return Onward(text=_joined(best_in_words(now), kept), steps=(_onward(now), *_uses(now)))
        case "lost":
            text, mends = _killed(now) if now.cause == "killed" else ("", ())
            kept = "Everything recorded until then is kept."
            return Onward(text=_joined(kept, text), steps=(_onward(now), *mends, *_uses(now)))
        case "failed":
            text, mends = _MENDS[now.cause](now)
            return Onward(text=text, steps=(*mends, *_uses(now)))
        case "queued":
            return Onward(text=_place(now.queue), steps=(NextStep(action="stop", label="Cancel"),))
    return None


def situation_of(view: RunView, queue: int | None = None) -> Situation:
    """The situation of a run; ``queue`` runs wait before it."""
    best, failure = view.best, view.failure
    return Situation(
        status=view.status,
        cause=failure.cause if failure else "other",
        can_resume=view.can_resume,
        has_weights=view.run.best_weights.is_file(),
        best=best,
        values=_values_at(view, best.step) if best else {},
        val_images=_count(view.started.get("val_images")),
        epochs=view.progress.epochs,
        seconds=view.progress.seconds,
        queue=queue,
        mistakes=mistakes_in_words(view.run) if view.status == "completed" else "",
        settings=_settings_of(view) if failure else {},
    )


def _values_at(view: RunView, step: int) -> dict[str, float]:
    """What was validated after ``step``."""
    curves = {key: curve for key, curve in view.series.items() if key.startswith("val/")}
    at = {key: [i for i, s in enumerate(curve.step) if s == step] for key, curve in curves.items()}
    return {key: float(curves[key].value[places[-1]]) for key, places in at.items() if places}


def _settings_of(view: RunView) -> dict[str, Any]:
    try:
        tree = read_tree(view.run.config)
    except ConfigError:
        return {}
    return {path: lookup(tree, path) for path in _NEEDED}


_NEEDED = ("train.batch_size", "train.accumulate", "optim.lr")


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


# ------------------------------------------------------------------ the result
def best_in_words(now: Situation) -> str:
    """The best validation in words that need no knowledge of metrics: ``134 of 153 right``.

    >>> best = BestValue("val/accuracy", 134 / 153, 3, 48, True)
    >>> best_in_words(Situation(status="completed", best=best, val_images=153))
    'After epoch 3 it gets 134 of 153 validation images right (87.6 %).'
    """
    best = now.best
    if best is None:
        return ""
    spec, shown = metric_of(best.key), metric_text(best.key, best.value)
    when = f"After epoch {best.epoch}"
    if spec.is_per_image and now.val_images:
        right = round(best.value * now.val_images)
        return f"{when} it gets {right:,} of {now.val_images:,} validation images right ({shown})."
    if spec.is_in_target_units:
        return _joined(f"{when} it is off by {shown} on average on the validation images.", _against_mean(now.values))
    if best.key == f"val/{MEAN_IOU.key}":
        return (
            f"{when} what it marks and what is there overlap by {shown} (mean IoU: shared pixels over all pixels of "
            "both, averaged over the classes)."
        )
    return f"Best {metric_name(best.key)} {shown}, after epoch {best.epoch}."


def _against_mean(values: Mapping[str, float]) -> str:
    """Whether that is better than always saying the mean, which R² tells."""
    r2 = values.get(f"val/{R2.key}")
    if r2 is None or r2 != r2:
        return ""
    if r2 <= 0:
        return "That is no better than always saying the mean: it has not learned yet what it sees."
    return f"It explains {100 * r2:.0f} % of how the images differ; always saying the mean explains none."


# ------------------------------------------------------------------ buttons
def _uses(now: Situation) -> tuple[NextStep, ...]:
    """What weights are good for."""
    if not now.has_weights:
        return ()
    return (
        NextStep(action="try", label="Try it"),
        NextStep(action="wrong", label="What it gets wrong"),
        NextStep(action="download", label="Download"),
    )


def _onward(now: Situation) -> NextStep:
    return NextStep(action="resume", label="Resume") if now.can_resume else _again()


def _again(label: str = "Start it again", **settings: Any) -> NextStep:
    return NextStep(action="start", label=label, settings={k.replace("__", "."): v for k, v in settings.items()})


def _if(condition: bool, step: NextStep) -> tuple[NextStep, ...]:
    return (step,) if condition else ()


# ------------------------------------------------------------------ what mends a failure
Mend = tuple[str, tuple[NextStep, ...]]


def _weights(now: Situation) -> Mend:
    text = "The pretrained weights could not be had. A file of weights on this machine does as well."
    choose = NextStep(action="change", label="Choose a file", settings={"model.weights": ""}, focus="model.weights")
    return text, (choose, _again("Start without", model__weights="none"), _again("Try the download again"))


def _data(now: Situation) -> Mend:
    text = "The data has to be mended, or another chosen; nothing was trained."
    return text, (NextStep(action="change", label="Look at the data", focus="data.path"),)


def _setting(now: Situation) -> Mend:
    return "A setting has to be corrected.", (NextStep(action="change", label="Correct the settings"),)


def _memory(now: Situation) -> Mend:
    """Halving was tried, as far as it goes, by the run itself."""
    network = NextStep(action="change", label="Choose another network", focus="model.name")
    return "", (_SMALLER_IMAGE, network)


def _killed(now: Situation) -> Mend:
    """By the system, which the run could do nothing about: most often for its memory."""
    batch, accumulate = now.settings.get("train.batch_size"), now.settings.get("train.accumulate") or 1
    if not isinstance(batch, int) or batch < 2:
        return "", (_SMALLER_IMAGE,)
    half = batch // 2
    text = f"Half the images at a time, {half}, with twice as many passes a step trains the same in less memory."
    smaller = _again(f"Start with {half} at a time", train__batch_size=half, train__accumulate=2 * accumulate)
    return text, (smaller, _SMALLER_IMAGE)


_SMALLER_IMAGE = NextStep(action="change", label="Choose a smaller image", focus="data.image_size")


def _disk(now: Situation) -> Mend:
    return "Free some space on the disk of the runs, then go on.", (_onward(now),)


def _numbers(now: Situation) -> Mend:
    rate = now.settings.get("optim.lr")
    text = "The numbers grew beyond all bounds, most often because the learning rate is too high."
    lower = _again(f"Start with rate {rate / 10:.3g}", optim__lr=float(f"{rate / 10:.3g}")) if rate else _again()
    return text, (lower, NextStep(action="change", label="Choose a rate", focus="optim.lr"))


def _other(now: Situation) -> Mend:
    return "", (_onward(now), NextStep(action="change", label="Change the settings"))


_MENDS: Mapping[Cause, Callable[[Situation], Mend]] = {
    "weights": _weights,
    "data": _data,
    "setting": _setting,
    "memory": _memory,
    "killed": _killed,
    "disk": _disk,
    "numbers": _numbers,
    "other": _other,
}


# ------------------------------------------------------------------ words
def _place(before: int | None) -> str:
    if not before:
        return "It is next, and begins by itself once the device is free."
    runs = "run is" if before == 1 else "runs are"
    return f"{before} {runs} before it; it begins by itself once the device is free."


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
