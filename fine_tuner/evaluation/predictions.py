"""One row for each image of a split: what the network said, what is true. Written once, read a column at a time.

==================  ===================  ==========================================================================
column              of                   is
==================  ===================  ==========================================================================
``loss``            all                  ``(N,)`` float32; see ``LOSS_NAMES``
``features``        all                  ``(N, F)`` float16: what the output layer is given, the mean over positions
``map``             all                  ``(N, 2)`` float32: place on the map of pictures; see ``map.py``
``names``           all                  the images' files as UTF-8 bytes, one after the other
``name_ends``       all                  ``(N,)`` int64: where each ends
``logits``          all but masks        ``(N, K)`` float32: what the network gives
``targets``         classes              ``(N,)`` int64
``predictions``     classes              ``(N,)`` int64: argmax of the logits
``confidence``      classes              ``(N,)`` float32: softmax of the logits at the prediction
``targets``         labels               ``(N, K)`` uint8, 0 or 1
``targets``         numbers              ``(N, K)`` float64
``hits``            masks                ``(N, K)`` int64: pixels that are of a class and predicted as such
``true_pixels``     masks                ``(N, K)`` int64: pixels of a class
``said_pixels``     masks                ``(N, K)`` int64: pixels predicted as a class, of those that count
==================  ===================  ==========================================================================

Nothing here imports torch: the page's process reads it, and only the columns that it shows something of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import replacing
from fine_tuner.config.tasks import TargetKind

LOSS_NAMES: Mapping[TargetKind, str] = {
    TargetKind.CLASS: "cross entropy",
    TargetKind.LABELS: "binary cross entropy, the mean over the labels",
    TargetKind.NUMBERS: "absolute error, the mean over the numbers",
    TargetKind.MASK: "1 - mean IoU over the classes that are there or predicted",
}


def write_predictions(path: Path, columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> None:
    """Write all columns and the images' names, whole or not at all.

    Raises:
        OSError: As the file system says.
    """
    encoded = [name.encode("utf-8", "surrogateescape") for name in names]
    ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    blob = np.frombuffer(b"".join(encoded), np.uint8)
    arrays = {name: np.ascontiguousarray(array) for name, array in columns.items()}
    with replacing(path, is_durable=False) as temporary:
        save_file({**arrays, "names": blob, "name_ends": ends}, temporary)


class Predictions:
    """Columns by name, each read when it is first asked for.

    Raises:
        RunError: If the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = safe_open(path, "numpy")
            self._columns = set(self._file.keys())
            self._read: dict[str, NDArray[Any]] = {}
            self._count = len(self["loss"])
        except FileNotFoundError:
            raise RunError(f"{path} is not there. Evaluate the run once more.") from None
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path} is damaged ({error}). Evaluate the run once more.") from None

    def __contains__(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A whole column, kept once it was read."""
        if name not in self._read:
            self._read[name] = self._file.get_tensor(name)
        return self._read[name]

    def column(self, name: str, k: int) -> NDArray[Any]:
        """``[:, k]`` of a column of rows, without reading the rest."""
        return self._file.get_slice(name)[:, k : k + 1].reshape(-1)

    def row(self, name: str, index: int) -> NDArray[Any]:
        """``[index]`` of a column of rows, likewise."""
        return self._file.get_slice(name)[index : index + 1].reshape(-1)

    def width(self, name: str) -> int:
        """Numbers in a row of a column."""
        return self._file.get_slice(name).get_shape()[1]

    def __len__(self) -> int:
        """Images."""
        return self._count

    @cached_property
    def _names(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self["names"], self["name_ends"]

    def name(self, index: int) -> str:
        """File of an image, as the run's splits have it."""
        names, ends = self._names
        start = int(ends[index - 1]) if index else 0
        return bytes(names[start : int(ends[index])]).decode("utf-8", "surrogateescape")
