"""The forecast counts, without data, exactly the bytes that a real step keeps for backward."""

from __future__ import annotations

import pytest
import torch

from fine_tuner.models.build import build_model
from fine_tuner.models.freezing import Freezing
from fine_tuner.training.forecast import MIB, forecast_memory

NETWORKS = ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("trainable", ["all", "head"])
def test_activations_are_those_that_a_real_step_keeps(name: str, trainable: str) -> None:
    built = build_model(name, task="classification", num_outputs=3, weights="none", image_size=64)
    forecast = forecast_memory(built, batch_size=3, trainable=trainable, dtype="fp32", optimizer="AdamW")

    Freezing(built, trainable).set_train_mode()
    kept: dict[int, torch.Tensor] = {}
    known = {t.untyped_storage().data_ptr() for t in (*built.model.parameters(), *built.model.buffers())}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    images = torch.randn(3, 3, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = built.model(images).float().sum()
    kept.pop(images.untyped_storage().data_ptr(), None)
    real = sum(t.untyped_storage().nbytes() for t in kept.values())
    assert loss.isfinite()
    assert forecast.activations * MIB == pytest.approx(real + images.nbytes, rel=0.01)


@pytest.mark.parametrize(
    ("optimizer", "momentum", "states"), [("AdamW", 0, 2), ("SGD", 0, 0), ("SGD", 0.9, 1), ("Adagrad", 0, 1)]
)
def test_optimizer_state_is_what_torch_keeps(optimizer: str, momentum: float, states: int) -> None:
    built = build_model("shufflenet_v2_x0_5", task="classification", num_outputs=3, weights="none", image_size=32)
    forecast = forecast_memory(
        built, batch_size=2, trainable="all", dtype="fp32", optimizer=optimizer, momentum=momentum
    )
    arguments = {"momentum": momentum} if momentum else {}
    real = getattr(torch.optim, optimizer)(built.model.parameters(), lr=1e-3, **arguments)
    built.model(torch.randn(2, 3, 32, 32)).sum().backward()
    real.step()
    kept = sum(v.nbytes for s in real.state.values() for v in s.values() if isinstance(v, torch.Tensor) and v.ndim > 0)
    assert forecast.optimizer * MIB == pytest.approx(kept, rel=0.01)
    assert forecast.optimizer == pytest.approx(states * forecast.gradients)
