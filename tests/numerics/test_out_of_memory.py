"""Memory that runs out halves what goes through the network at once, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fine_tuner.base.errors import OutOfMemoryError
from fine_tuner.distributed.device_memory import is_out_of_memory
from fine_tuner.metrics import classification_metrics
from fine_tuner.runs.log.events import EvalMetrics, Mark, TrainMetrics
from fine_tuner.training.loop.learner import Learner
from fine_tuner.training.loop.micro_batches import MicroBatches
from fine_tuner.training.loop.validation import evaluate

from .conftest import CLASSES, assert_same, make_data, make_network


class Limited(nn.Module):
    """A network on a device with room for so many images, from a given forward pass on."""

    def __init__(self, network: nn.Module, *, train: int = 10**6, evaluation: int = 10**6, after: int = 0) -> None:
        super().__init__()
        self.network, self.train_most, self.evaluation_most, self.after = network, train, evaluation, after
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        output = self.network(images)  # statistics and dropout are moved before memory runs out
        self.calls += self.training
        most = self.train_most if self.training else self.evaluation_most
        if len(images) > most and self.calls > self.after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return output


def network(dropout: float = 0.3, **limits: int) -> Limited:
    return Limited(make_network(dropout), **limits)


def steps_of(events: list[Any]) -> list[int]:
    return [e.step for e in events if isinstance(e, TrainMetrics)]


def test_at_step_0_the_run_is_bit_for_bit_the_accumulated_one(make_trainer: Any) -> None:
    events: list[Any] = []
    limited = make_trainer(batch_size=8, model=network(train=4), emit=events.append)
    torch.manual_seed(5)
    assert limited.train() == "completed"
    accumulated = make_trainer(batch_size=4, accumulate=2, model=network())
    torch.manual_seed(5)
    accumulated.train()
    assert_same(limited.learner.model, accumulated.learner.model)
    assert steps_of(events) == list(range(1, 16))
    (mark,) = [e for e in events if isinstance(e, Mark)]
    assert (mark.step, mark.label, mark.changes) == (0, "micro-batch 4", {"micro_batch": 4})
    assert "ran out of memory" in mark.text
    assert "at most 4 images go through the network at once, half as many as before" in mark.text


def test_it_is_halved_until_it_fits_and_the_accumulated_steps_keep_their_images(make_trainer: Any) -> None:
    events: list[Any] = []
    limited = make_trainer(batch_size=8, accumulate=2, model=network(train=2), emit=events.append)
    torch.manual_seed(5)
    limited.train()
    fine = make_trainer(batch_size=2, accumulate=8, model=network())
    torch.manual_seed(5)
    fine.train()
    assert_same(limited.learner.model, fine.learner.model)
    assert [m.changes for m in events if isinstance(m, Mark)] == [{"micro_batch": 4}, {"micro_batch": 2}]


def test_in_mid_epoch_the_step_is_made_again_as_if_it_had_always_been_small(make_trainer: Any) -> None:
    """Seven whole steps, then the eighth and all after it in halves: BatchNorm and dropout know nothing of the try."""
    limited = make_trainer(batch_size=8, model=network(train=4, after=7))
    torch.manual_seed(5)
    limited.train()
    told = make_trainer(batch_size=8, model=network(), control=Tell({7: {"micro_batch": 4}}))
    torch.manual_seed(5)
    told.train()
    assert_same(limited.learner.model, told.learner.model)


class Tell:
    """Changes at given steps, and a wish to stop."""

    def __init__(self, changes: dict[int, dict] | None = None, *, stop_at: int | None = None) -> None:
        self.to_do, self.stop_at, self.step = dict(changes or {}), stop_at, 0

    def wanted(self) -> str | None:
        return "stop" if self.stop_at is not None and self.step >= self.stop_at else None

    def changes(self, step: int) -> list[dict]:
        self.step = step + 1
        return [self.to_do.pop(step)] if step in self.to_do else []

    def wants_checkpoint(self) -> bool:
        return False

    def wants_validation(self) -> bool:
        return False


def evaluator(learner: Learner) -> Any:
    images, targets = make_data(23)
    return lambda: evaluate(
        learner.model, list(zip(images.split(8), targets.split(8), strict=True)), loss_fn=nn.CrossEntropyLoss(),
        metrics=classification_metrics(CLASSES), precision=learner.precision, micro_batches=learner.micro_batches,
    )  # fmt: skip


def test_in_evaluation_the_numbers_are_those_of_smaller_batches(make_trainer: Any) -> None:
    events: list[Any] = []
    limited = make_trainer(model=network(evaluation=2), emit=events.append)
    limited.validation.evaluate = evaluator(limited.learner)
    limited.train()
    small = make_trainer(model=network(), micro_batches=MicroBatches(evaluation=2), emit=(other := []).append)
    small.validation.evaluate = evaluator(small.learner)
    small.train()
    ours, theirs = ([e.metrics for e in log if isinstance(e, EvalMetrics)] for log in (events, other))
    assert ours == theirs
    assert len(ours) == 3
    marks = [e for e in events if isinstance(e, Mark)]
    assert [(m.step, m.changes) for m in marks] == [(5, {"eval_batch": 4}), (5, {"eval_batch": 2})]
    assert "evaluation" in marks[0].text


def test_after_unfreezing_the_step_is_made_again(make_trainer: Any) -> None:
    def thaw(epochs_done: int) -> None:
        trainer.learner.model.network[0].requires_grad_(epochs_done > 0)
        trainer.learner.model.train_most = 8 if epochs_done == 0 else 4

    events: list[Any] = []
    trainer = make_trainer(model=network(train=8), before_epoch=thaw, emit=events.append)
    assert trainer.train() == "completed"
    assert [(m.step, m.changes) for m in events if isinstance(m, Mark)] == [(5, {"micro_batch": 4})]
    assert steps_of(events) == list(range(1, 16))


def test_the_present_size_survives_a_resume(make_trainer: Any) -> None:
    first = make_trainer(model=network(train=4), control=Tell(stop_at=4))
    torch.manual_seed(5)
    assert first.train() == "stopped"
    buffer = io.BytesIO()
    torch.save({"model": first.learner.model.state_dict(), "rest": first.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    events: list[Any] = []
    second = make_trainer(model=network(train=4), emit=events.append)
    second.learner.model.load_state_dict(saved["model"])
    second.load_state_dict(saved["rest"])
    second.train()
    assert not [e for e in events if isinstance(e, Mark)], "it ran out of memory a second time"
    whole = make_trainer(model=network(train=4))
    torch.manual_seed(5)
    whole.train()
    assert_same(whole.learner.model, second.learner.model)


def test_a_single_image_that_does_not_fit_ends_the_run_with_what_to_do(make_trainer: Any) -> None:
    trainer = make_trainer(model=network(train=0))
    with pytest.raises(OutOfMemoryError, match=r"single image at step 1 .*smaller data\.image_size"):
        trainer.train()


def test_other_errors_are_not_taken_for_it(make_trainer: Any) -> None:
    def broken(logits: Tensor, targets: Tensor) -> Tensor:
        raise RuntimeError("shape '[2]' is invalid for input of size 3")

    with pytest.raises(RuntimeError, match="shape"):
        make_trainer(loss_fn=broken).train()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: ..."), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4000000000 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_cpu_s_own_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(("count", "most", "sizes"), [(8, 4, [4, 4]), (9, 4, [3, 3, 3]), (5, 4, [2, 3]), (3, 4, [3])])
def test_parts_are_equal_to_within_one_image(count: int, most: int, sizes: list[int]) -> None:
    images = torch.arange(count)
    parts = list(MicroBatches(train=most).of([(images, images)], "train"))
    assert [len(part) for part, _ in parts] == sizes
    assert torch.cat([part for part, _ in parts]).tolist() == images.tolist()
