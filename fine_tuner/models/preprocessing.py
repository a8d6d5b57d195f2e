"""How an image becomes what the network sees: side lengths, mean and standard deviation of the chosen weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torchvision.models import WeightsEnum

# Means and standard deviations of ImageNet's RGB values in [0, 1]; Source: torchvision/transforms/_presets.py.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What turns an RGB image into the network's input.

    Attributes:
        image_size: Side in pixels of the square that the network sees.
        resize_size: Length in pixels to which the shorter side is resized before the centre is cut out.
        mean: Subtracted per channel from values in [0, 1].
        std: Divided by per channel.
        interpolation: ``bilinear`` or ``bicubic``.
        pixel_range: Black and white of pictures of more than 8 bits; None: what their files hold.
    """

    image_size: int = 224
    resize_size: int = 256
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bilinear"
    pixel_range: tuple[int, int] | None = None

    @classmethod
    def from_entry(cls, entry: WeightsEnum) -> Preprocessing:
        """As the weights were evaluated; a segmentation network sees the whole resized image."""
        transforms = entry.transforms()
        (resize_size,) = transforms.resize_size
        (image_size,) = getattr(transforms, "crop_size", transforms.resize_size)
        return cls(
            image_size=image_size,
            resize_size=resize_size,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=transforms.interpolation.value,
        )

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Preprocessing:
        """Inverse of ``to_dict``."""
        tuples = {key: tuple(tree[key]) for key in ("mean", "std", "pixel_range") if tree.get(key) is not None}
        return cls(**{**tree, **tuples})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def at_size(self, image_size: int | None) -> Preprocessing:
        """The same for another ``image_size``, with the margin that is cut away in proportion; None changes nothing.

        >>> Preprocessing().at_size(112).resize_size
        128
        """
        if image_size is None:
            return self
        return replace(self, image_size=image_size, resize_size=round(self.resize_size * image_size / self.image_size))

    def without_crop(self) -> Preprocessing:
        """The same with nothing cut away, for masks."""
        return replace(self, resize_size=self.image_size)
