"""Which precision and memory format is fastest for a network here: a few steps of each, on copies of it.

The images are random numbers and the loss is the mean square of the logits, so that no data are waited for and no code
of a user's own is called; both cost the same in every precision. Random numbers of the run are not touched. On a
processor one core computes and its own time counts, so that another program at work does not decide: with eight beside
it, wall time on all cores put bf16 at a quarter of the speed of fp32 for resnet18, where it is 2.2 times as fast.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from fine_tuner.base.progress import OnProgress
from fine_tuner.config.settings import Settings
from fine_tuner.distributed.device_memory import free_memory, is_out_of_memory, memory_counter
from fine_tuner.distributed.devices import finish
from fine_tuner.distributed.generators import kept_rng
from fine_tuner.models.build import BuiltModel
from fine_tuner.models.freezing import Freezing
from fine_tuner.models.outputs import split_outputs
from fine_tuner.optim import build_optimizer
from fine_tuner.precision import Measured, Precision, Switch, cpu_computes_bf16, variant_name, variants_for
from fine_tuner.speeds import TRIAL, Subject, fastest, remember

FEWEST_STEPS = 30  # a shorter run is over before the trial has paid
_CPU_IMAGES = 4  # of one core; the ranking is that of a whole batch on all of them
_SECONDS = 1.5  # rounds go on for so long, but two are always made
_MOST_ROUNDS = 4
_STEPS_ON_GPU = 5  # queued at once, so that a round is longer than the wait for it

WHAT = "Measuring which precision is fastest here"


def try_precisions(
    settings: Settings, built: BuiltModel, device: torch.device, subject: Subject, *, on_progress: OnProgress
) -> Measured | None:
    """The fastest of the precisions that ``settings`` leave open, remembered for ``subject``.

    Args:
        settings: Of the run.
        built: Its network, on its device and as it was built; not changed.
        device: Of the run.
        subject: What is measured.
        on_progress: Told of rounds.

    Returns:
        None if fewer than two could be measured, for want of memory.
    """
    count = min(settings.train.batch_size, _CPU_IMAGES) if device.type == "cpu" else settings.train.batch_size
    with kept_rng(device):
        side = built.preprocessing.image_size
        images = torch.rand(count, 3, side, side, device=device)
        trials = {
            variant_name(dtype, is_channels_last=is_last): _step_of(settings, built, images, dtype, is_last)
            for dtype, is_last in open_variants(device, settings.precision.channels_last)
        }
        seconds = _best_seconds(trials, device, on_progress)
    del trials, images
    free_memory(device)  # what is left of it would count as the run's, in its forecast and at its peak
    if (counter := memory_counter(device)) is not None:
        counter.reset_peak_memory_stats(device)
    for variant, best in seconds.items():
        remember(subject, f"{TRIAL}:{variant}", images_per_second=count / best)
    return fastest({variant: count / best for variant, best in seconds.items()}, settings.precision.channels_last)


def open_variants(device: torch.device, channels_last: Switch) -> list[tuple[str, bool]]:
    """Precisions worth a trial, plain float32 first.

    Half precision wants its channels last wherever it gains, so the other format is left out; a processor without bf16
    instructions is not asked to emulate them.
    """
    variants = [(dtype, is_last) for dtype, is_last in variants_for(device) if dtype == "fp32" or is_last]
    if device.type == "cpu" and not cpu_computes_bf16():
        variants = [(dtype, is_last) for dtype, is_last in variants if dtype == "fp32"]
    if channels_last == "auto":
        return variants
    return [(dtype, channels_last == "on") for dtype in dict.fromkeys(dtype for dtype, _ in variants)]


def _step_of(
    settings: Settings, built: BuiltModel, images: torch.Tensor, dtype: str, is_channels_last: bool
) -> Callable[[], None]:
    """A function that makes training steps of a copy of the network, with everything thawed that ever trains."""
    device = images.device
    trial = copy.copy(built)
    trial.model = copy.deepcopy(built.model)
    freezing = Freezing(trial, settings.model.trainable, head_epochs=settings.model.head_epochs)
    freezing.set_epoch(sys.maxsize)
    freezing.set_train_mode()
    precision = Precision(dtype, device, is_channels_last=is_channels_last, allow_tf32=settings.precision.tf32)
    precision.arrange(trial.model)
    parameters = [p for p in trial.model.parameters() if p.requires_grad]
    optimizer = build_optimizer(settings.optim, [{"params": parameters, "name": "all"}])

    def step() -> None:
        precision.backward(_loss(trial.model, images, precision))
        precision.step(optimizer, clip_norm=settings.optim.clip_norm)

    return step


def _loss(model: nn.Module, images: torch.Tensor, precision: Precision) -> torch.Tensor:
    with precision.autocast():
        logits, auxiliary = split_outputs(model(images))
    return sum((part.float().square().mean() for _, part in auxiliary), logits.float().square().mean())


def _best_seconds(
    trials: dict[str, Callable[[], None]], device: torch.device, on_progress: OnProgress
) -> dict[str, float]:
    """The least time of a step of each trial, made by turns so that a busy machine treats them alike."""
    best: dict[str, float] = {}
    begun = time.perf_counter()
    with _one_thread() if device.type == "cpu" else nullcontext():
        for number in range(_MOST_ROUNDS):
            if number >= 2 and time.perf_counter() - begun > _SECONDS:
                break
            for name, step in list(trials.items()):
                try:
                    seconds = _seconds(step, device)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    del trials[name]
                    best.pop(name, None)
                    continue
                if number:  # the first is a warm-up
                    best[name] = min(best.get(name, math.inf), seconds)
            on_progress(WHAT, number + 1, None)
    on_progress(WHAT, _MOST_ROUNDS, _MOST_ROUNDS)
    return best


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Of one step: of this thread on a processor, of the clock on a GPU."""
    if device.type == "cpu":
        begun = time.thread_time()
        step()
        return time.thread_time() - begun
    begun = time.perf_counter()
    for _ in range(_STEPS_ON_GPU):
        step()
    finish(device)
    return (time.perf_counter() - begun) / _STEPS_ON_GPU


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
