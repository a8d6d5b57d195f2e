"""What the processes that train one run together tell each other. Alone, a process is ``Ranks()``, which does nothing.

Every call is made by all ranks, in the same order. What decides whether a rank makes a call (a wish of the user, a loss
that is not finite, memory that ran out) is therefore agreed on first: ``together``, ``agree``.
"""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fine_tuner.base.errors import TrainingError

T = TypeVar("T")
_SIGNS = ("gloo", "NCCL", "onnection closed", "onnection reset", "Broken pipe", "Socket", "TCPStore")


# Buffers stay each rank's own while training; torch before 2.14 has another word for it.
_OWN_BUFFERS = {
    "forward_sync_buffers"
    if "forward_sync_buffers" in signature(nn.parallel.DistributedDataParallel.__init__).parameters
    else "broadcast_buffers": False
}


class LostRankError(TrainingError):
    """Another process of the run is gone, so that nothing more can be agreed on."""


class Ranks:
    """This process alone.

    Attributes:
        rank: Number of this process among those of the run, from 0; that one writes the run's folder.
        world_size: How many there are.
    """

    rank = 0
    world_size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes events and checkpoints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over ranks of tensors of one shape, on the device of ``values``."""
        return values

    def max(self, values: Tensor) -> Tensor:
        """Greatest over ranks, number by number."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """``(n, ...)`` of all ranks one after the other; ``n`` may be another on each."""
        return values

    def share(self, value: T) -> T:
        """The first rank's ``value``; what the others give is of no account."""
        return value

    def collect(self, value: T) -> list[T]:
        """``value`` of each rank."""
        return [value]

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether any rank has it."""
        return flags

    def most(self, number: int) -> int:
        """The greatest of the ranks' numbers."""
        return number

    def together(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, unless it fails on any rank: then it fails on all of them, for the same reason.

        ``work`` must not call anything of this object.

        Raises:
            Exception: This rank's own, else that of the first rank that failed.
        """
        return work()

    def equalise(self, tensors: Iterable[Tensor]) -> None:
        """Give all ranks the first rank's tensors, in place."""

    def network(self, model: nn.Module) -> Callable[[Tensor], Any]:
        """The network as the last forward pass of a step runs it: gradients of its backward pass are averaged.

        Made anew by all ranks together when other parameters train than at the last call.
        """
        return model

    def forget_network(self) -> None:
        """A pass through ``network`` had no backward pass, or what trains is another from here on."""

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average over ranks the gradients of parameters that are not the network's."""


class TorchRanks(Ranks):
    """The processes of torch's default process group; see ``joining.py`` for how it is made."""

    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self._replica: nn.parallel.DistributedDataParallel | None = None
        self._trained: tuple[int, ...] = ()

    def sum(self, values: Tensor) -> Tensor:
        """See ``Ranks``."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def max(self, values: Tensor) -> Tensor:
        """See ``Ranks``."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def _reduced(self, values: Tensor, operation: Any) -> Tensor:
        reduced = values.detach().clone()
        with lost_ranks_named():
            dist.all_reduce(reduced, operation)
        return reduced

    def gather(self, values: Tensor) -> Tensor:
        """See ``Ranks``."""
        return torch.cat([part.to(values.device) for part in self.collect(values.cpu())])

    def share(self, value: T) -> T:
        """See ``Ranks``."""
        box = [value if self.is_first else None]
        with lost_ranks_named():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def collect(self, value: T) -> list[T]:
        """See ``Ranks``."""
        boxes: list[Any] = [None] * self.world_size
        with lost_ranks_named():
            dist.all_gather_object(boxes, value)
        return boxes

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """See ``Ranks``."""
        return tuple(bool(flag) for flag in self.max(torch.tensor(flags, dtype=torch.int32)).tolist())

    def most(self, number: int) -> int:
        """See ``Ranks``."""
        return int(self.max(torch.tensor([number])).item())

    def together(self, work: Callable[[], T]) -> T:
        """See ``Ranks``."""
        failure: Exception | None = None
        try:
            done = work()
        except LostRankError:
            raise
        except Exception as error:
            failure = error
        (any_failed,) = self.agree(failure is not None)
        if not any_failed:
            return done
        failures = self.collect(_portable(failure))
        raise failure or next(f for f in failures if f is not None)

    def equalise(self, tensors: Iterable[Tensor]) -> None:
        """See ``Ranks``."""
        with lost_ranks_named():
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def network(self, model: nn.Module) -> Callable[[Tensor], Any]:
        """See ``Ranks``; DistributedDataParallel around the network, made anew when other parameters train.

        Buffers (BatchNorm's statistics) stay each rank's own while training, see ``equalise``: to send them before each
        forward pass would be one more thing to wait for.
        """
        trained = tuple(id(p) for p in model.parameters() if p.requires_grad)
        if self._replica is None or self._replica.module is not model or self._trained != trained:
            self.forget_network()
            with lost_ranks_named():
                self._replica = nn.parallel.DistributedDataParallel(model, **_OWN_BUFFERS)
            self._trained = trained
        return self._replica

    def forget_network(self) -> None:
        """See ``Ranks``."""
        if self._replica is not None:
            self._replica = None
            gc.collect()  # it is in a circle, and its hooks on the parameters live as long as it does

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """See ``Ranks``."""
        for parameter in parameters:
            if parameter.requires_grad:
                own = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                parameter.grad = self.sum(own) / self.world_size


def _portable(error: Exception | None) -> Exception | None:
    """``error`` as other processes can read it."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return TrainingError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def lost_ranks_named() -> Iterator[None]:
    """Inside, what torch says when another process is gone becomes ``LostRankError``.

    Raises:
        LostRankError: If a collective call fails.
    """
    try:
        yield
    except RuntimeError as error:
        if is_lost_rank(error):
            raise LostRankError("Another process of this run is gone.") from error
        raise


def is_lost_rank(error: BaseException) -> bool:
    """Whether ``error`` says that another process is gone."""
    if not isinstance(error, RuntimeError):  # DistBackendError and DistNetworkError are such, gloo has none of its own
        return isinstance(error, LostRankError)
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in _SIGNS)
