"""What trains, when, and at which rate: freezing by stages, and the optimizer's parameter groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch import nn

from fine_tuner.base.errors import ConfigError
from fine_tuner.models.stages import HEAD, NORMS, Stage

BACKBONE = "backbone"
Trainable = str | int


class Staged(Protocol):
    """A network with its stages from input to head, such as ``build.BuiltModel``."""

    model: nn.Module
    stages: tuple[Stage, ...]


class Freezing:
    """Keeps the frozen part of a network frozen: no gradients, and modules in evaluation mode.

    A frozen BatchNorm therefore keeps its statistics, and frozen dropout and stochastic depth do nothing, so that
    frozen features of an image never change.

    Args:
        built: The network; its parameters' ``requires_grad`` is set at once, as for the first epoch.
        trainable: ``head``, ``all``, how many of the last stages (the head is the first of them), or ``gradual``: the
            head for ``head_epochs`` epochs, then everything.
        head_epochs: Of ``gradual``.

    Raises:
        ConfigError: At ``model.trainable``, if the network has fewer stages.
    """

    def __init__(self, built: Staged, trainable: Trainable = "all", *, head_epochs: int = 1) -> None:
        self.model = built.model
        self.stages = built.stages
        self.trainable = trainable
        self.head_epochs = head_epochs
        self._ever = trained_stages(built.stages, trainable)
        self._frozen_modules: list[nn.Module] = []
        self.set_epoch(0)

    def set_epoch(self, epochs_done: int) -> bool:
        """Freeze as it is to be after ``epochs_done`` epochs; True if something thawed or froze by that."""
        names = {n for s in self.trained_after(epochs_done) for n in s.parameter_names}
        changed = False
        for name, parameter in self.model.named_parameters():
            changed |= parameter.requires_grad != (name in names)
            parameter.requires_grad_(name in names)
            if name not in names:
                parameter.grad = None
        if changed:
            self._frozen_modules = list(frozen_modules(self.model))
            if self.model.training:
                self._apply_train_mode()
        return changed

    def trained_after(self, epochs_done: int) -> list[Stage]:
        """The stages that train in the epoch after ``epochs_done``."""
        if self.trainable == "gradual" and epochs_done < self.head_epochs:
            return trained_stages(self.stages, HEAD)
        return self._ever

    def set_train_mode(self) -> None:
        """``model.train()``, with what is frozen in evaluation mode; cheap when nothing changed since the last call."""
        is_set = self.model.training and not any(m.training for m in self._frozen_modules)
        if not is_set:
            self._apply_train_mode()

    def _apply_train_mode(self) -> None:
        self.model.train()
        for module in self._frozen_modules:
            module.eval()


def frozen_modules(module: nn.Module) -> Iterable[nn.Module]:
    """The largest modules all of whose parameters are frozen."""
    parameters = list(module.parameters())
    if not parameters:
        return
    if not any(p.requires_grad for p in parameters):
        yield module
        return
    for child in module.children():
        yield from frozen_modules(child)


def trained_stages(stages: tuple[Stage, ...], trainable: Trainable) -> list[Stage]:
    """The stages that train at some time.

    Raises:
        ConfigError: At ``model.trainable``, if there are not so many.
    """
    if trainable == HEAD:
        return [stages[-1]]
    if trainable in ("all", "gradual"):
        return list(stages)
    if not isinstance(trainable, int) or not 1 <= trainable <= len(stages):
        raise ConfigError(
            {
                "model.trainable": f"{trainable!r} does not fit: the network has {len(stages)} stages "
                f"({', '.join(s.name for s in stages)}). Use head, all, gradual, or a number from 1 to {len(stages)}."
            }
        )
    return list(stages[-trainable:])


def stage_rates(
    stages: tuple[Stage, ...],
    *,
    lr: float,
    backbone_multiplier: float = 1.0,
    stage_decay: float = 1.0,
    trainable: Trainable = "all",
) -> dict[str, float]:
    """Rate of each stage that trains at some time, from input to head.

    The head's is ``lr``, the last stage before it has ``lr * backbone_multiplier``, and each earlier one the next one's
    times ``stage_decay``.

    Source: Howard and Ruder 2018, section 3.2 (discriminative fine-tuning), https://arxiv.org/abs/1801.06146.
    """
    *backbone, head = trained_stages(stages, trainable)
    rates = {s.name: lr * backbone_multiplier * stage_decay**i for i, s in enumerate(reversed(backbone))}
    return dict(reversed(rates.items())) | {head.name: lr}


def parameter_groups(
    built: Staged,
    *,
    lr: float,
    backbone_multiplier: float = 1.0,
    stage_decay: float = 1.0,
    weight_decay: float = 0.0,
    decay_norms_and_biases: bool = False,
    trainable: Trainable = "all",
) -> list[dict[str, Any]]:
    """Groups for an optimizer, the head's first.

    Each has ``params``, ``lr``, ``weight_decay`` and ``name``: ``head``, and ``backbone`` or, if ``stage_decay`` is
    below 1, ``backbone/<stage>``. What decays and what does not are two groups of the same name and rate. Parameters
    that ``gradual`` thaws later are there from the start; an optimizer passes over them while they have no gradient.
    """
    rates = stage_rates(
        built.stages, lr=lr, backbone_multiplier=backbone_multiplier, stage_decay=stage_decay, trainable=trainable
    )
    parameters = dict(built.model.named_parameters())
    norms = set(norm_parameters(built.model))
    members: dict[tuple[str, float], tuple[float, list[nn.Parameter]]] = {}
    for stage in reversed(built.stages):
        if stage.name not in rates:
            continue
        rate, group = rates[stage.name], group_name(stage.name, stage_decay)
        for name in stage.parameter_names:
            decays = decay_norms_and_biases or (name not in norms and is_weight(name, parameters[name]))
            decay = weight_decay if decays else 0.0
            members.setdefault((group, decay), (rate, []))[1].append(parameters[name])
    return [
        {"params": params, "lr": rate, "weight_decay": decay, "name": group}
        for (group, decay), (rate, params) in members.items()
    ]


def group_name(stage: str, stage_decay: float) -> str:
    """Name of the parameter group of a stage: its own where each stage has its rate, else one for all but the head."""
    if stage == HEAD:
        return HEAD
    return BACKBONE if stage_decay == 1 else f"{BACKBONE}/{stage}"


def norm_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters of normalisation layers."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        if isinstance(module, NORMS)
        for name, _ in module.named_parameters(recurse=False)
    ]


def is_weight(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a layer's matrix or kernel, which decays; embeddings, scales and tokens do not.

    Source: torchvision references/classification/utils.py, set_weight_decay, with the keys its recipes give for
    transformers (class_token, position_embedding, relative_position_bias_table). Differs: told by the name ``weight``
    and two axes instead of by a list.
    """
    return name.endswith("weight") and parameter.ndim >= 2


def trainable_parameters(built: Staged, trainable: Trainable) -> int:
    """How many numbers train at some time."""
    sizes: Mapping[str, int] = {n: p.numel() for n, p in built.model.named_parameters()}
    return sum(sizes[n] for s in trained_stages(built.stages, trainable) for n in s.parameter_names)
