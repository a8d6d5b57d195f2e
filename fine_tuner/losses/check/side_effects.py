"""What a user's loss may change around it: threads, global random numbers, torch's defaults."""

from __future__ import annotations

import threading

import torch

from fine_tuner.losses.code import LossFinding
from fine_tuner.losses.custom import LoadedLoss


class SideEffects:
    """Remembers threads and random state when made, to tell what has changed since."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._random_state = torch.get_rng_state()

    def differences(self, loaded: LoadedLoss) -> list[LossFinding]:
        """What has changed since this was made."""
        code, found = loaded.code, []
        started = [t.name for t in threading.enumerate() if t not in self._threads]
        if started:
            what = f"the loss leaves threads running, such as {started[0]}"
            lines = code.calls("threading.Thread", "Thread", "ThreadPoolExecutor")
            remedy = "Compute in the calling thread; torch uses all cores by itself."
            found.append(code.finding("warning", "threads", what, remedy, lines[0] if lines else None))
        if not torch.equal(torch.get_rng_state(), self._random_state):
            what = "the loss draws from, or seeds, the global random numbers"
            remedy = "Use a torch.Generator of its own; the global one decides dropout and is saved for exact resume."
            lines = code.calls("torch.manual_seed", "torch.seed", "torch.cuda.manual_seed_all")
            found.append(code.finding("warning", "random_state", what, remedy, lines[0] if lines else None))
        return found


def changed_defaults(loaded: LoadedLoss) -> list[LossFinding]:
    """Whether torch's defaults were changed; they are put back."""
    if torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled():
        return []
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    what = "the loss changes torch's defaults (dtype or gradient mode) for everything after it"
    lines = loaded.code.calls("torch.set_default_dtype", "torch.set_grad_enabled", "torch.set_default_tensor_type")
    remedy = "Remove the change, or use it as a context: with torch.no_grad(): ..."
    return [loaded.code.finding("error", "defaults", what, remedy, lines[0] if lines else None)]
