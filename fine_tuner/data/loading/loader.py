"""One pass of torch's DataLoader over given keys: own generator, plain errors, nothing left behind at the end."""

from __future__ import annotations

import contextlib
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from fine_tuner.base.errors import DataError, DeadLoaderError, loader_death
from fine_tuner.data.loading.allocator import keep_freed_memory

Finish = Callable[[Tensor, Tensor, Sequence[Any]], tuple[Tensor, Any]]


@dataclass(frozen=True)
class _Failure:
    """A message on its way from a loading process; an exception would arrive wrapped in a foreign traceback."""

    message: str


class _Batched(Dataset):
    """Loads all keys of a batch at once, and finishes the batch."""

    def __init__(self, dataset: Dataset, finish: Finish | None) -> None:
        self.dataset, self.finish = dataset, finish

    def __getitem__(self, keys: Sequence[Any]) -> Any:
        try:
            images, targets = default_collate([self.dataset[key] for key in keys])
        except DataError as error:
            return _Failure(str(error))
        return self.finish(images, targets, keys) if self.finish else (images, targets)


def _as_is(batch: Any) -> Any:
    return batch


_TO_THE_GROUP = frozenset(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


def _begin_worker(worker: int) -> None:
    """In a loading process: leave it to the parent to react to signals, which reach all of its group."""
    keep_freed_memory()
    warnings.filterwarnings("ignore", module="PIL")  # of odd metadata; what cannot be read is an error anyway
    for number in _TO_THE_GROUP:  # torch ends a loader whose parent is gone
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TO_THE_GROUP)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Inside, signals wait: a process that is forked here meets them when it ignores them, not before."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Loader:
    """Batches of ``dataset``, one for each list of keys, in order.

    Args:
        dataset: Maps a key to an image and its target.
        keys: Lists of keys; may be endless.
        num_workers: Loading processes; 0 loads in this one.
        pin_memory: Page-locked memory.
        prefetch: Batches that each process is ahead.
        finish: Called as ``finish(images, targets, keys)`` on each batch where it was loaded; returns the batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        keys: Iterable[list[Any]],
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        prefetch: int = 2,
        finish: Finish | None = None,
    ) -> None:
        # batch_size=None with a sampler of lists: one item is one batch. generator=: DataLoader would otherwise draw
        # from the global generator, and a run that was resumed would see other dropout masks than one that was not.
        self._loader = DataLoader(
            _Batched(dataset, finish),
            batch_size=None,
            sampler=keys,
            num_workers=num_workers,
            collate_fn=_as_is,
            pin_memory=pin_memory and torch.cuda.is_available(),
            prefetch_factor=prefetch if num_workers else None,
            worker_init_fn=_begin_worker,
            generator=torch.Generator().manual_seed(0),
            # Forking is at once and copies nothing; other systems cannot, or not safely.
            multiprocessing_context=("fork" if sys.platform == "linux" else None) if num_workers else None,
        )
        self._iterator: Any = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        with warnings.catch_warnings(), _signals_held_back():
            # Python 3.12 warns of any fork with threads about. A loading process uses one thread and no lock of ours.
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            self._iterator = iter(self._loader)
        return self._batches()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            while self._iterator is not None:
                batch = self._next()
                if batch is None:
                    return
                yield batch
        finally:
            self.close()

    def _next(self) -> tuple[Tensor, Tensor] | None:
        try:
            batch = next(self._iterator, None)
        except (ConnectionError, EOFError) as error:
            raise DeadLoaderError(str(error) or "it hung up while it handed over a batch") from None
        except RuntimeError as error:
            raise loader_death(error) or error from None
        if isinstance(batch, _Failure):
            raise DataError(batch.message)
        return batch

    def close(self) -> None:
        """End the loading processes; does nothing if there are none."""
        iterator, self._iterator = self._iterator, None
        if hasattr(iterator, "_shutdown_workers"):
            try:
                iterator._shutdown_workers()
            except RuntimeError as error:  # torch tells of a death from a signal, also in the midst of this
                if loader_death(error) is None:
                    raise
            for worker in getattr(iterator, "_workers", ()):  # busy for seconds, and deaf to SIGTERM
                if worker.is_alive():
                    worker.kill()
                    worker.join()
