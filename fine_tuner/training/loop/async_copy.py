"""Numbers from the device without making it wait.

``tensor.item()`` waits until everything queued on a GPU is done, which starves it. Here a copy to pinned memory is
queued behind the work that makes the number, and read when its event has passed. On a CPU everything is immediate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(slots=True)
class PendingCopy:
    """Scalars on their way to the host."""

    values: Tensor
    event: Any | None = None

    def has_arrived(self) -> bool:
        """Whether ``wait`` would return at once."""
        return self.event is None or self.event.query()

    def wait(self) -> list[float]:
        """The numbers; waits for the copy, not for work queued after it."""
        if self.event is not None:
            self.event.synchronize()
        return self.values.tolist()


class AsyncCopy:
    """Starts copies, and keeps a queue of tagged ones."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._queue: deque[tuple[Any, PendingCopy]] = deque()

    def start(self, *scalars: Tensor) -> PendingCopy:
        """Begin to copy scalar tensors to the host, as they are now."""
        packed = torch.stack([s.detach().double().reshape(()) for s in scalars])
        if not self._is_cuda:
            return PendingCopy(packed.cpu())
        host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
        host.copy_(packed, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return PendingCopy(host, event)

    def queue(self, tag: Any, *scalars: Tensor) -> None:
        """Begin a copy whose numbers come back with ``tag`` from ``arrived``."""
        self._queue.append((tag, self.start(*scalars)))

    def arrived(self, *, wait: bool, keep: int = 0) -> Iterator[tuple[Any, list[float]]]:
        """Tags and numbers in the order queued: all but the last ``keep`` (``wait``), or those that have arrived."""
        while len(self._queue) > keep and (wait or self._queue[0][1].has_arrived()):
            tag, copy = self._queue.popleft()
            yield tag, copy.wait()
