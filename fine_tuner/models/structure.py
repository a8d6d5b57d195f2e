"""The structure of a network, asked of the network itself before any memory is spent on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn

from fine_tuner.models.probe import ILLEGAL_SIZE, ForwardTrace, Options, construct, fitting_options, head_names, trace
from fine_tuner.models.stages import Stage, Unit, find_units, group_stages


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """A network for a number of outputs and an image size.

    Attributes:
        model: With parameters on the meta device.
        options: What torchvision's builder needs to build it.
        head: Names of the parameters whose shape follows the number of outputs.
        notices: What was left out to fit the image size.
    """

    model: nn.Module
    options: Options
    image_size: int
    head: tuple[str, ...]
    units: tuple[Unit, ...]
    traced: ForwardTrace
    notices: tuple[str, ...] = ()

    @property
    def head_layers(self) -> tuple[str, ...]:
        """Paths of the output layers."""
        return tuple(dict.fromkeys(n.rpartition(".")[0] for n in self.head))

    def stages(self, last: Iterable[str]) -> list[Stage]:
        """Stages from input to head, the parameters named by ``last`` being the head."""
        return group_stages(self.model, self.units, self.traced, last, self.image_size)


def find_structure(name: str, num_outputs: int, options: Options, *, image_size: int) -> Structure:
    """Ask a network for its structure, leaving out an auxiliary head that the image size does not allow.

    Raises:
        ConfigError: At ``data.image_size``, if the network takes no such images.
    """
    try:
        return _ask(name, num_outputs, options, image_size)
    except ILLEGAL_SIZE:
        options, notices = fitting_options(name, options, image_size=image_size)
        return replace(_ask(name, num_outputs, options, image_size), notices=tuple(notices))


def unclip_outputs(model: nn.Module, head_layers: Iterable[str]) -> list[str]:
    """Take away a ReLU that follows an output layer, and say so; squeezenet has one.

    Behind it a number cannot be negative, a label's probability is never below one half, and a new layer whose values
    are all negative gets no gradient: it would never learn.
    """
    for path in head_layers:
        parent, _, name = path.rpartition(".")
        siblings = model.get_submodule(parent)
        if isinstance(siblings, nn.Sequential):
            for later in list(siblings._modules)[list(siblings._modules).index(name) + 1 :]:
                if isinstance(siblings._modules[later], nn.ReLU):
                    siblings._modules[later] = nn.Identity()
                    return [f"The ReLU after {path} was taken away, so that outputs can be negative."]
    return []


def _ask(name: str, num_outputs: int, options: Options, image_size: int) -> Structure:
    model = construct(name, num_outputs, options, on_meta=True)
    other = construct(name, num_outputs + 1, options, on_meta=True)
    head = head_names(model, other)
    units = find_units(model, head)
    return Structure(
        model=model,
        options=options,
        image_size=image_size,
        head=tuple(head),
        units=tuple(units),
        traced=trace(other, [u.path for u in units], image_size=image_size),
    )
