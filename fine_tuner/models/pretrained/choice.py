"""What ``model.weights`` means for a network: none, the app's own, an entry of its or its backbone's, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torchvision.models import WeightsEnum

from fine_tuner.base.errors import ConfigError, WeightsError
from fine_tuner.base.registry import suggest
from fine_tuner.models.catalogue import backbone_enum, default_backbone_entry, default_entry, weights_enum
from fine_tuner.models.source import SOURCE, source_file, source_networks

NONE, DEFAULT, BACKBONE = "none", "default", "backbone"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".th")
_IN_FOLDER = ("model.safetensors", "checkpoints/best/model.safetensors", "best/model.safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsChoice:
    """Where a network's weights come from; neither entry nor file means random.

    Attributes:
        entry: torchvision's weights.
        file: A file of the user's, or one that ships with the app.
        is_source: ``file`` ships with the app.
        backbone_only: ``entry`` belongs to the backbone of a segmentation network.
    """

    entry: WeightsEnum | None = None
    file: Path | None = None
    is_source: bool = False
    backbone_only: bool = False

    @property
    def is_random(self) -> bool:
        """No weights are loaded."""
        return self.entry is None and self.file is None

    @property
    def label(self) -> str:
        """For people and records: ``none``, ``source``, ``ResNet18_Weights.IMAGENET1K_V1``, or the path."""
        if self.is_source:
            return SOURCE
        if self.entry is not None:
            return f"{type(self.entry).__name__}.{self.entry.name}"
        return NONE if self.file is None else str(self.file)


def choose_weights(name: str, weights: str) -> WeightsChoice:
    """Resolve what a user wrote, ignoring case in names.

    Args:
        name: A network of torchvision.
        weights: ``none``; ``default``; ``source`` for the app's own; an entry such as ``IMAGENET1K_V2`` or
            ``ResNet50_Weights.IMAGENET1K_V2``; for a segmentation network also ``backbone`` or an entry of its
            backbone's weights; or a file, or a folder of an earlier run.

    Raises:
        ConfigError: At ``model.weights``, if the network has no such weights.
        WeightsError: If there is no such file.
    """
    wanted = weights.strip()
    folded = wanted.casefold()
    if folded == NONE:
        return WeightsChoice()
    if folded == DEFAULT:
        return WeightsChoice(entry=default_entry(name))
    if folded == SOURCE and (file := source_file(name)):
        return WeightsChoice(file=file, is_source=True)
    if folded == BACKBONE and (backbone := default_backbone_entry(name)):
        return WeightsChoice(entry=backbone, backbone_only=True)
    for enum in filter(None, (weights_enum(name), backbone_enum(name))):
        for entry in enum:
            if folded in (entry.name.casefold(), f"{enum.__name__}.{entry.name}".casefold()):
                return WeightsChoice(entry=entry, backbone_only=enum is not weights_enum(name))
    path = Path(wanted).expanduser()
    if path.exists() or path.suffix.casefold() in _SUFFIXES or len(path.parts) > 1:
        return WeightsChoice(file=find_file(path))
    raise ConfigError({"model.weights": _unknown(name, wanted)})


def find_file(path: Path) -> Path:
    """The file of weights at ``path``, which may be the folder of an earlier run or checkpoint.

    Raises:
        WeightsError: If there is none.
    """
    if path.is_file():
        return path
    if path.is_dir():
        for inner in _IN_FOLDER:
            if (path / inner).is_file():
                return path / inner
        raise WeightsError(
            f"The folder {path} holds no {' or '.join(_IN_FOLDER[:2])} (model.weights). Give a file of weights "
            "(.safetensors or .pth) or the folder of an earlier run."
        )
    raise WeightsError(
        f"There is no file {path} (model.weights, looked for from {Path.cwd()}). Check the path, or use default or "
        "none."
    )


def _unknown(name: str, wanted: str) -> str:
    enums = [e for e in (weights_enum(name), backbone_enum(name)) if e is not None]
    known = [entry.name for enum in enums for entry in enum]
    own = [SOURCE] if source_file(name) else []
    words = [DEFAULT, NONE, *own, *([BACKBONE] if len(enums) > 1 else []), *dict.fromkeys(known)]
    if wanted.casefold() == SOURCE:
        others = ", ".join(source_networks())
        return f"The app has no weights of its own for {name}, only for {others}. Choose {DEFAULT} or {NONE}."
    return (
        f"{name} has no weights {wanted!r}.{suggest(wanted, words)} Choose {', '.join(words)}, or the path of a file."
    )
