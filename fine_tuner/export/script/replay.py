"""What a script that repeats a run has of its own: weights, groups, rates and evaluation, plainly.

These functions are copied into the script (``bundle.py``). Each does with plain torch what the trainer does, so that on
one processor the losses of the script are those of the run to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import lr_scheduler

from fine_tuner.losses.parts import over_split
from fine_tuner.models.freezing import frozen_modules, is_weight, norm_parameters
from fine_tuner.models.outputs import split_outputs
from fine_tuner.schedules.curves import StandIn


# ----------------------------------------------------------------- network
def read_weights(path: str) -> dict[str, Tensor]:
    """Tensors by name from safetensors, or from a file of ``torch.save`` whose state dict may be nested or prefixed."""
    with Path(path).open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    if is_safetensors:
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    nested = ("state_dict", "model", "model_state_dict", "model_state", "net", "network")
    while inner := next((state[key] for key in nested if isinstance(state.get(key), Mapping)), None):
        state = inner
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    prefixes = ("module.", "_orig_mod.", "model.", "net.", "network.")
    while prefix := next((p for p in prefixes if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def load_fitting(model: nn.Module, state: Mapping[str, Tensor], new: Sequence[str]) -> None:
    """Fill the network with weights; what begins like one of ``new`` keeps its own.

    Raises:
        ValueError: If anything else is missing or of another shape.
    """
    own = model.state_dict()
    for name, value in own.items():
        if name.startswith(tuple(new)) or (name.endswith("num_batches_tracked") and name not in state):
            continue
        if name not in state or state[name].shape != value.shape:
            raise ValueError(f"{name} is not in the weights, or has another shape there; these are of another network")
        with torch.no_grad():
            value.copy_(state[name])


def stage_of(name: str, stages: Mapping[str, Sequence[str]]) -> str:
    """The stage of the parameter ``name``: the one with the longest beginning that fits."""
    fitting = [(len(start), stage) for stage, starts in stages.items() for start in starts if name.startswith(start)]
    return max(fitting)[1]


def parameter_groups(
    model: nn.Module,
    stages: Mapping[str, Sequence[str]],
    rates: Mapping[str, float],
    *,
    group_names: Mapping[str, str],
    weight_decay: float,
    decay_all: bool,
) -> list[dict[str, Any]]:
    """Groups for the optimizer, the head's first; norms and biases do not decay unless ``decay_all``."""
    members: dict[tuple[str, float], dict[str, Any]] = {}
    norms = set(norm_parameters(model))
    named = list(model.named_parameters())
    for stage in reversed(list(rates)):
        for name, parameter in named:
            if stage_of(name, stages) == stage:
                decays = decay_all or (name not in norms and is_weight(name, parameter))
                decay, group = weight_decay if decays else 0.0, group_names[stage]
                empty = {"params": [], "lr": rates[stage], "weight_decay": decay, "name": group}
                members.setdefault((group, decay), empty)["params"].append(parameter)
    return list(members.values())


def freeze(model: nn.Module, stages: Mapping[str, Sequence[str]], trained: Sequence[str]) -> None:
    """Let only the stages ``trained`` learn."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(stage_of(name, stages) in trained)
        if not parameter.requires_grad:
            parameter.grad = None


def set_train_mode(model: nn.Module) -> None:
    """``model.train()``; what is frozen stays in evaluation mode, so that its BatchNorm statistics do not move."""
    model.train()
    for module in frozen_modules(model):
        module.eval()


def loss_of(output: Any, targets: Any, loss_fn: Callable[[Tensor, Any], Tensor]) -> Tensor:
    """Loss of the logits, plus the weighted loss of each auxiliary head."""
    logits, auxiliary = split_outputs(output)
    loss = loss_fn(logits, targets)
    for weight, aux_logits in auxiliary:
        loss = loss + weight * loss_fn(aux_logits, targets)
    return loss


# ------------------------------------------------------------------- rates
class Rates:
    """Gives every group of the optimizer the rate of its next step: scale x warm-up x the schedule's curve.

    ``scale`` is 1 until a change. The curve is torch's scheduler, asked for its closed form at a tick: a step, or an
    epoch for schedules that go by epochs, counted from the end of the warm-up.

    Args:
        build: From a stand-in with the groups' own rates, the ticks and the steps of the run to torch's scheduler.
        by_epoch: What a tick is.
        momentum: Whether the schedule also moves the momentum.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        build: Callable[[StandIn, int, int], Any],
        *,
        total_steps: int,
        steps_per_epoch: int,
        warmup_steps: int,
        by_epoch: bool,
        momentum: bool,
    ) -> None:
        self.optimizer, self.build, self.warmup_steps, self.momentum = optimizer, build, warmup_steps, momentum
        self.period = steps_per_epoch if by_epoch else 1
        self.own = [float(group["lr"]) for group in optimizer.param_groups]
        self.scale, self.steps_done = 1.0, 0
        self.warmup = lr_scheduler.LinearLR(StandIn([1.0]), 1 / (warmup_steps + 1), 1.0, max(1, warmup_steps))
        self.scheduler: Any = None
        self.fit(total_steps)

    def fit(self, total_steps: int) -> None:
        """Lay the curve over a run of this length; what a plateau has decided stays."""
        self.total_steps = total_steps
        ticks = self.tick(total_steps - 1) + 1
        before = self.scheduler
        self.stand_in = StandIn(self.own)
        self.scheduler = self.build(self.stand_in, ticks, total_steps)
        self.follows_metric = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        if self.follows_metric and before is not None:
            for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
                setattr(self.scheduler, name, getattr(before, name))
            for group, old in zip(self.stand_in.param_groups, before.optimizer.param_groups, strict=True):
                group["lr"] = old["lr"]
        self.last_tick = min(ticks, getattr(self.scheduler, "total_steps", ticks)) - 1
        self.scheduler._get_lr_called_within_step = True  # it is asked directly; no warning
        self.apply()

    def tick(self, step: int) -> int:
        """Tick of the scheduler after ``step`` steps; 0 throughout the warm-up."""
        return max(0, step // self.period - self.warmup_steps // self.period)

    def apply(self) -> list[float]:
        """Set the rates of the next step."""
        factor = self.scale
        if self.steps_done < self.warmup_steps:
            self.warmup.last_epoch = self.steps_done
            factor *= self.warmup._get_closed_form_lr()[0]
        if self.follows_metric:
            curve = [group["lr"] for group in self.stand_in.param_groups]
        else:
            self.scheduler.last_epoch = min(self.tick(self.steps_done), self.last_tick)
            curve = getattr(self.scheduler, "_get_closed_form_lr", self.scheduler.get_lr)()
        for group, rate in zip(self.optimizer.param_groups, curve, strict=True):
            group["lr"] = rate * factor
            if self.momentum:
                self.set_momentum(group, self.stand_in.param_groups[0]["momentum"])
        return [group["lr"] for group in self.optimizer.param_groups]

    def set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        """Momentum, or the first beta, of a group whose optimizer uses one."""
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif group.get("momentum", 0) > 0:
            group["momentum"] = momentum

    def step(self) -> None:
        """After every optimizer step."""
        self.steps_done += 1
        self.apply()

    def end_epoch(self, metric: float | None) -> None:
        """After every validation; only ReduceLROnPlateau looks at the metric, once the warm-up is over."""
        if self.follows_metric and metric is not None and self.steps_done > self.warmup_steps:
            self.scheduler.step(metric)
            self.apply()

    def change(self, setting: str, value: float, steps_per_epoch: int) -> None:
        """A change that was made while the run trained; see CHANGES."""
        if setting == "train.epochs":
            self.fit(int(value) * steps_per_epoch)
        else:
            self.scale *= value if setting == "lr_factor" else value / max(self.apply())
            self.apply()


# -------------------------------------------------------------- evaluation
@torch.inference_mode()
def evaluate(
    model: nn.Module,
    loader: Iterator[tuple[Tensor, Any]],
    loss_fn: Callable[[Tensor, Any], Tensor],
    metrics: Any,
    device: torch.device,
    half: torch.dtype | None,
) -> dict[str, float]:
    """Loss and metrics of all pictures at once."""
    model.eval()
    metrics.to(device).reset()
    loss = over_split(loss_fn)
    for images, targets in loader:
        images, targets = images.to(device), targets.to(device)
        with torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            logits, _ = split_outputs(model(images))
        logits = logits.float()
        loss.add(logits, targets)
        metrics.update(logits, targets)
    return {"loss": float(loss.value()), **{key: float(value) for key, value in metrics.compute().items()}}


def is_better(value: float | None, loss: float, best: tuple[float, bool] | None, *, higher_is_better: bool) -> bool:
    """Whether a metric is better than the best and whether that had a finite loss, which comes before all others."""
    if value is None or not math.isfinite(value):
        return False
    if best is None or best[1] != math.isfinite(loss):
        return best is None or not best[1]
    return value > best[0] if higher_is_better else value < best[0]
