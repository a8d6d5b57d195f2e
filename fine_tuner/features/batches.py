"""Micro-batches of features in place of images, in the same order.

The augmentation of an image is a function of (seed, epoch, its index). With ``views`` of each image it is that of epoch
``epoch % views``: the first epochs compute a view each, all later ones repeat them. Features of a view are computed for
all images in the order of the split, in batches of one size, so that they are the same numbers wherever a run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from fine_tuner.data.loading.batches import EvalBatches, Key, TrainBatches
from fine_tuner.distributed.ranks import Ranks
from fine_tuner.features.network import FeatureNetwork

OnComputed = Callable[[str, float, float], None]
"""Told what is computed, of how many images it is done, and how many there are."""

TRAIN_WORDS = "Frozen part, training images"
_MASK_AXES = 3


class InterruptionError(Exception):
    """Somebody wants the run to end while features are computed."""


class KeptFeatures:
    """Features and targets of the images of a split, filled from first to last.

    Args:
        images: How many there are.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._features: Tensor | None = None
        self._targets: Tensor | None = None
        self._filled = 0

    @property
    def is_full(self) -> bool:
        """Whether every image is there."""
        return self._filled == self._images

    def clear(self) -> None:
        """Begin again."""
        self._filled = 0

    def append(self, features: Tensor, targets: Tensor) -> None:
        """Take the next images.

        Args:
            features: ``(B, numbers)`` in the type in which they were computed and are kept.
            targets: ``(B, ...)``.
        """
        if self._features is None:
            # Class indices of masks come from bytes; eight times less than as int64.
            kept_type = torch.uint8 if targets.ndim == _MASK_AXES else targets.dtype
            self._type = targets.dtype
            self._features = torch.empty(self._images, *features.shape[1:], dtype=features.dtype)
            self._targets = torch.empty(self._images, *targets.shape[1:], dtype=kept_type)
        rows = slice(self._filled, self._filled + len(targets))
        self._features[rows], self._targets[rows] = features, targets
        self._filled = rows.stop

    def rows(self, indices: Iterable[int]) -> tuple[Tensor, Tensor]:
        """Copies of features ``(B, numbers)`` and targets ``(B, ...)`` of these images."""
        assert self._features is not None, "nothing is kept yet"
        wanted = torch.tensor(list(indices))
        return self._features[wanted], self._targets[wanted].to(self._type)


class FeatureBatches:
    """Endless micro-batches as ``TrainBatches`` has them, of features instead of images.

    Args:
        images: The run's micro-batches of images.
        network: Computes features.
        views: How many augmented views of each image there are.
        epochs: So many epochs from the first on take features, those after them images; None: all take features.
        set_train_mode: Puts the network into training mode.
        should_stop: Asked while features are computed.
        on_computed: Told of that.
        ranks: The processes that compute them together, each a part, and all keep all of them.
    """

    def __init__(
        self,
        images: TrainBatches,
        network: FeatureNetwork,
        *,
        views: int,
        epochs: int | None,
        set_train_mode: Callable[[], None],
        should_stop: Callable[[], bool] = lambda: False,
        on_computed: OnComputed = lambda what, done, total: None,
        ranks: Ranks | None = None,
    ) -> None:
        self._images, self._network, self._views, self._epochs = images, network, views, epochs
        self._set_train_mode, self._should_stop, self._on_computed = set_train_mode, should_stop, on_computed
        self._ranks = ranks or Ranks()
        self._kept: dict[int, KeptFeatures] = {}

    @property
    def per_epoch(self) -> int:
        """Micro-batches in one epoch."""
        return self._images.per_epoch

    def indices(self, micro_step: int) -> list[int]:
        """Which images are in this micro-batch of the run."""
        return self._images.indices(micro_step)

    def size(self, micro_step: int) -> int:
        """How many images this micro-batch of the run has, over all ranks."""
        return self._images.size(micro_step)

    def part(self, micro_step: int) -> slice:
        """Which of them are this rank's."""
        return self._images.part(micro_step)

    def leave_out(self, indices: Iterable[int]) -> None:
        """See ``TrainBatches.leave_out``."""
        self._images.leave_out(indices)

    @property
    def left_out(self) -> frozenset[int]:
        """Indices of the images that are not shown."""
        return self._images.left_out

    def prepare(self, micro_step: int) -> None:
        """Compute the view that this micro-batch takes, if it takes one; all ranks do.

        Raises:
            DataError: Naming a file that cannot be read.
            InterruptionError: If somebody wants the run to end.
        """
        epoch = micro_step // self.per_epoch
        if self._epochs is None or epoch < self._epochs:
            self._view(epoch % self._views)

    def starting_at(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless: features ``(B, numbers)`` and targets, then images, from micro-batch ``micro_step`` of the run on.

        Raises:
            DataError: While iterating, naming a file that cannot be read.
            InterruptionError: While iterating, if somebody wants the run to end.
        """
        self._images.close()
        return self._batches(micro_step)

    def _batches(self, micro_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, keys in enumerate(self._images.keys_from(micro_step), micro_step):
            if self._epochs is not None and keys[0].epoch >= self._epochs:
                self._kept.clear()
                yield from self._images.starting_at(number)
            yield self._view(keys[0].epoch % self._views).rows(key.index for key in self._images.own(keys))

    def _view(self, view: int) -> KeptFeatures:
        dataset, size = self._images.dataset, self._images.batch_size
        kept = self._kept.setdefault(view, KeptFeatures(len(dataset)))
        if kept.is_full:
            return kept
        kept.clear()
        keys = [Key(index, self._images.seed, view) for index in range(len(dataset))]
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]
        world_size = self._ranks.world_size
        own = self._images.load(batches[self._ranks.rank :: world_size])
        self._set_train_mode()
        for first in range(0, len(batches), world_size):
            if self._should_stop():
                raise InterruptionError
            for computed in self._ranks.collect(self._ranks.together(lambda: self._compute(own))):
                if computed is not None:
                    kept.append(*computed)
            done = min((first + world_size) * size, len(keys))
            self._on_computed(f"{TRAIN_WORDS}, view {view + 1} of {self._views}", done, len(keys))
        return kept

    def _compute(self, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor] | None:
        """Features, on the CPU, and targets of this rank's next batch, if it has one more."""
        batch = next(batches, None)
        return None if batch is None else (self._network.features(batch[0]).cpu(), batch[1])

    def close(self) -> None:
        """End the loading processes; does nothing if there are none."""
        self._images.close()


class FeatureEvalBatches:
    """Batches of features of the images of ``EvalBatches``, computed in the first pass; of images once all trains.

    Args:
        images: The images; their order and batches are these.
        network: Computes features; in evaluation mode while this is iterated.
    """

    def __init__(self, images: EvalBatches, network: FeatureNetwork) -> None:
        self._images, self._network = images, network
        self._kept = KeptFeatures(len(images.indices))

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._network.is_frozen:
            return iter(self._images)
        if self._kept.is_full:
            return self._again()
        self._kept.clear()
        return self._first_time()

    def _first_time(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, targets in self._images:
            features = self._network.features(images)
            self._kept.append(features, targets)
            yield features, targets

    def _again(self) -> Iterator[tuple[Tensor, Tensor]]:
        size, count = self._images.batch_size, len(self._images.indices)
        for start in range(0, count, size):
            yield self._kept.rows(range(start, min(start + size, count)))
