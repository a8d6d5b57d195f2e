"""What a script that repeats a run has of its own: reading pictures, rates, and the loop, plainly.

These functions are copied into the script (``bundle.py``). Each does with plain torch what the trainer does, so that on
one processor the losses of the script are those of the run to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset

from fine_tuner.data.randomness import randomness_of, seed_of
from fine_tuner.models.freezing import _frozen, is_weight, norm_parameters
from fine_tuner.models.outputs import split_outputs
from fine_tuner.schedules.curves import StandIn

Key = tuple[int, int]  # which picture, and the epoch, which decides its augmentation


# ---------------------------------------------------------------- pictures
def load_picture(path: Path, min_side_px: int | None) -> Image.Image:
    """The picture as a person sees it, in RGB: upright, transparency on white, 16 bits as 8.

    Args:
        path: The file.
        min_side_px: A JPEG may be decoded at a fraction of its size with both sides at least this long.
    """
    with Image.open(path) as image:
        if min_side_px and image.format == "JPEG":
            width, height = image.size
            shorter = min(width, height)
            image.draft(None, (-(-width * min_side_px // shorter), -(-height * min_side_px // shorter)))
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


def load_mask_values(path: Path, *, as_colours: bool) -> np.ndarray:
    """Values of a mask file: ``(H, W)``, or ``(H, W, 3)`` for one in colours that are not all grey."""
    with Image.open(path) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.mode == "L" or (image.mode == "P" and not as_colours):
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode.startswith("I"):
        return np.array(image).astype(np.int32)
    if image.mode in ("LA", "La"):
        return np.array(image.getchannel(0))
    colours = np.array(image.convert("RGB"))
    is_grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all()
    return colours[..., 0].copy() if is_grey else colours


class Pictures(Dataset):
    """Pictures of one split with their targets, by key.

    Args:
        rows: ``image``, relative to ``root``, and ``target`` or ``mask``.
        root: Folder of the data.
        transform: From picture and target to what the network sees.
        target_of: From a row, the root and the picture's (width, height) to the target.
        seed: Decides the augmentation, with the key.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        root: Path,
        transform: Any,
        target_of: Callable[[Mapping[str, Any], Path, tuple[int, int]], Any],
        seed: int,
    ) -> None:
        self.rows, self.root, self.transform, self.target_of, self.seed = rows, root, transform, target_of, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> tuple[Tensor, Any]:
        """Image ``(3, H, W)`` float32 and its target."""
        index, epoch = key
        row = self.rows[index]
        picture = load_picture(self.root / row["image"], self.transform.min_side_px)
        target = self.target_of(row, self.root, picture.size)
        with randomness_of(self.seed, epoch, index):
            return self.transform(picture, target)


def batches(pictures: Pictures, keys: Sequence[list[Key]], num_workers: int) -> Iterator[tuple[Tensor, Any]]:
    """The batches of these keys, in order; torch's global generator is left alone."""
    generator = torch.Generator().manual_seed(0)
    return iter(DataLoader(pictures, batch_sampler=keys, num_workers=num_workers, generator=generator))


def epoch_keys(order: Sequence[int], batch_size: int, epoch: int) -> list[list[Key]]:
    """Keys of each batch of an epoch; a last batch of one picture is left out, since BatchNorm cannot train on it."""
    keys = [[(index, epoch) for index in order[at : at + batch_size]] for at in range(0, len(order), batch_size)]
    if len(keys) > 1 and batch_size > 1 and len(keys[-1]) == 1:
        keys.pop()
    return keys


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """The order of the training pictures: a function of seed and epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch))).tolist()


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
    for module in _frozen(model):
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
    """Mean loss over the pictures, and the metrics over all of them at once."""
    model.eval()
    metrics.to(device).reset()
    total, seen = torch.zeros((), dtype=torch.float64, device=device), 0
    for images, targets in loader:
        images, targets = images.to(device), targets.to(device)
        with torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            logits, _ = split_outputs(model(images))
        logits = logits.float()
        total += loss_fn(logits, targets).double() * len(targets)
        seen += len(targets)
        metrics.update(logits, targets)
    return {"loss": float(total) / seen, **{key: float(value) for key, value in metrics.compute().items()}}


def is_better(value: float | None, best: float | None, *, higher_is_better: bool) -> bool:
    """Whether a metric is the best so far; NaN and infinities never are."""
    if value is None or not math.isfinite(value):
        return False
    return best is None or (value > best if higher_is_better else value < best)
