"""Source networks of our own: a file of weights each, shipped with the package, so that fine-tuning needs no download.

``tools/pretrain_source.py`` makes them. They learned to tell 50 kinds of drawn shapes and textures apart
(``tools/source_pictures.py``: discs, arrows, hearts, letters; stripes, bricks, clouds, wood), 400 pictures of each at
64 px, and never saw a photograph or one of the sample's own pictures. No torch here: the page lists them too.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = "source"
ABOUT = "50 kinds of drawn shapes and textures"
_FOLDER = Path(__file__).parent


def source_file(network: str) -> Path | None:
    """The weights that ship for a network of torchvision's; None if there are none."""
    path = _FOLDER / f"{network}.safetensors"
    return path if path.is_file() else None


def source_networks() -> tuple[str, ...]:
    """Names of the networks with such weights."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.safetensors")))
