"""The forecast counts, without data, the bytes that a real step keeps for backward, and those at its fullest."""

from __future__ import annotations

from dataclasses import replace as with_values

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fine_tuner.config.io import CHOICES, parse
from fine_tuner.losses.build import build_loss
from fine_tuner.memory.forecast import MIB, SCATTERED, SCATTERED_AGAIN, Counted, optimizer_states
from fine_tuner.memory.step_memory import StepMemory, StepSetup, step_memory
from fine_tuner.models.build import BuiltModel, build_model, outline_model
from fine_tuner.models.freezing import Freezing
from fine_tuner.models.outputs import loss_of_outputs
from fine_tuner.precision import Precision

NETWORKS = ["squeezenet1_1", "mobilenet_v3_small"]
CPU = torch.device("cpu")


class CrossEntropy(nn.Module):
    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float(), targets)


def build(name: str, *, task: str = "classification", size: int = 64, outputs: int = 3) -> BuiltModel:
    return build_model(name, task=task, num_outputs=outputs, weights="none", image_size=size)


def outline(name: str, *, size: int = 64) -> BuiltModel:
    return outline_model(name, task="classification", num_outputs=3, weights="none", image_size=size)


def memory_of(built: BuiltModel, loss_fn: nn.Module, *, dtype: str = "fp32", **situation: object) -> StepMemory:
    about = {"trainable": "all", "task": built.task} | situation
    return step_memory(
        StepSetup(
            name=built.name, num_outputs=built.num_outputs, options=tuple(sorted(built.options.items())),
            stages=tuple(built.stages), image_size=built.preprocessing.image_size, dtype=dtype, **about,
        ),
        loss_fn,
    )  # fmt: skip


def kept_by_a_real_step(built: BuiltModel, loss_fn: nn.Module, images: torch.Tensor, targets: torch.Tensor, dtype: str):
    """Bytes saved for backward by a real forward pass with its loss; each storage once, weights not at all."""
    kept: dict[int, torch.Tensor] = {}
    known = {t.untyped_storage().data_ptr() for t in (images, targets, *built.model.parameters())}
    known |= {t.untyped_storage().data_ptr() for t in built.model.buffers()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with Precision(dtype, CPU).autocast():
            output = built.model(images)
        loss = loss_of_outputs(output, targets, loss_fn)
    assert loss.isfinite()
    return sum(t.untyped_storage().nbytes() for t in kept.values())


def kept_at(memory: StepMemory, batch_size: int) -> float:
    """Bytes kept for backward at the end of forward, without the images."""
    return batch_size * (memory.kept_per_image - memory.image) + memory.kept


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("trainable", ["all", "head"])
def test_activations_are_those_that_a_real_step_keeps(name: str, dtype: str, trainable: str) -> None:
    built = build(name)
    memory = memory_of(built, CrossEntropy(), dtype=dtype, trainable=trainable)
    Freezing(built, trainable).set_train_mode()
    real = kept_by_a_real_step(built, CrossEntropy(), torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]), dtype)
    assert kept_at(memory, 4) == pytest.approx(real, rel=0.03, abs=200_000)


@pytest.mark.parametrize("loss", ["dice_cross_entropy", "lovasz"])
def test_segmentation_counts_its_loss_over_every_pixel(loss: str) -> None:
    built = build("lraspp_mobilenet_v3_large", task="segmentation")
    settings = parse({"task": "segmentation", "loss": {"name": loss}}).loss
    loss_fn = build_loss(settings, task="segmentation", num_outputs=3)
    memory = memory_of(built, loss_fn)
    Freezing(built, "all").set_train_mode()
    real = kept_by_a_real_step(built, loss_fn, torch.randn(4, 3, 64, 64), torch.randint(0, 3, (4, 64, 64)), "fp32")
    assert kept_at(memory, 4) == pytest.approx(real, rel=0.05)


def test_the_fullest_moment_grows_with_the_batch_and_the_largest_batch_is_the_last_that_fits() -> None:
    counted = Counted(step=memory_of(outline("resnet18"), CrossEntropy()), states=2)
    sizes = [1, 2, 8, 64, 512]
    totals = [counted.at(size).total for size in sizes]
    assert totals == sorted(totals)
    assert totals[-1] - totals[-2] == pytest.approx(
        (1 + SCATTERED) * (512 - 64) * counted.step.kept_per_image / MIB, rel=0.15
    )
    most = counted.largest_batch_size(1000.0)
    assert counted.at(most).total <= 1000.0 < counted.at(most + 1).total
    assert counted.largest_batch_size(1.0) == 0


def test_activations_made_again_scatter_on_a_cpu() -> None:
    memory = memory_of(outline("resnet18"), CrossEntropy())
    kept = Counted(step=memory, states=2)
    again, on_gpu = (with_values(kept, made_per_image=9 * memory.kept_per_image, is_gpu=gpu) for gpu in (False, True))
    batch = 8
    more = SCATTERED_AGAIN * batch * again.made_per_image / MIB - SCATTERED * kept.at(batch).activations
    assert again.at(batch).total - kept.at(batch).total == pytest.approx(more, rel=1e-6)
    assert on_gpu.at(batch).total == with_values(on_gpu, made_per_image=0.0).at(batch).total


def test_a_step_never_holds_less_than_weights_gradients_and_state() -> None:
    built = outline("resnet18", size=32)
    counted = Counted(step=memory_of(built, CrossEntropy()), states=2)
    parts = counted.at(1)
    weights = built.parameters * 4 / MIB
    assert parts.gradients == pytest.approx(weights, rel=0.01), "with one image the optimizer's step is the fullest"
    assert parts.total >= 4 * weights


def test_accumulated_gradients_are_there_all_the_time() -> None:
    built = outline("resnet18")
    once, again = (Counted(step=memory_of(built, CrossEntropy(), accumulates=a), states=2) for a in (False, True))
    assert again.at(64).total > once.at(64).total
    assert again.at(64).gradients == pytest.approx(built.parameters * 4 / MIB, rel=0.01)


def test_half_precision_halves_activations_and_pays_for_copies_of_weights() -> None:
    built = outline("resnet18")
    full, half = (Counted(step=memory_of(built, CrossEntropy(), dtype=d), states=2) for d in ("fp32", "bf16"))
    assert half.step.kept_per_image == pytest.approx(full.step.kept_per_image / 2, rel=0.15)
    assert half.step.kept == pytest.approx(built.parameters * 2, rel=0.05)


def test_a_frozen_backbone_keeps_next_to_nothing_and_evaluation_counts() -> None:
    built = outline("resnet18")
    counted = Counted(step=memory_of(built, CrossEntropy(), trainable="head"), states=2)
    everything = Counted(step=memory_of(built, CrossEntropy()), states=2)
    assert counted.at(64).total < everything.at(64).total / 2
    assert counted.at(64).activations < everything.at(64).activations / 5
    gradual = Counted(step=memory_of(built, CrossEntropy(), trainable="gradual"), states=2)
    assert gradual.at(64) == everything.at(64), "the later phase, in which everything trains, counts"


def test_a_gpu_keeps_float32_where_its_autocast_does() -> None:
    built = outline("convnext_tiny")
    cpu, gpu = (memory_of(built, CrossEntropy(), dtype="bf16", device_type=d) for d in ("cpu", "cuda"))
    assert gpu.kept_per_image > 1.05 * cpu.kept_per_image, "norms and softmax run in float32 on a GPU"


@pytest.mark.parametrize(
    ("optimizer", "momentum", "states"), [("AdamW", 0, 2), ("SGD", 0, 0), ("SGD", 0.9, 1), ("Adagrad", 0, 1)]
)
def test_optimizer_state_is_what_torch_keeps(optimizer: str, momentum: float, states: int) -> None:
    built = build("shufflenet_v2_x0_5", size=32)
    arguments = {"momentum": momentum} if momentum else {}
    real = getattr(torch.optim, optimizer)(built.model.parameters(), lr=1e-3, **arguments)
    built.model(torch.randn(2, 3, 32, 32)).sum().backward()
    real.step()
    kept = sum(v.nbytes for s in real.state.values() for v in s.values() if isinstance(v, torch.Tensor) and v.ndim > 0)
    settings = CHOICES["optim"].variants[optimizer](**({"momentum": momentum} if optimizer == "SGD" else {}))
    assert optimizer_states(settings) == states
    assert states * sum(p.nbytes for p in built.model.parameters()) == pytest.approx(kept, rel=0.01)
