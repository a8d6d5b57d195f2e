"""What ended a run, in words for the person whose run it is."""

from __future__ import annotations

import errno

import torch

from fine_tuner.errors import FineTunerError


def message_for(error: Exception) -> str:
    """What happened, where, and what to do, for the person whose run this is."""
    match error:
        case FineTunerError():
            return str(error)
        case torch.OutOfMemoryError():
            return (
                f"The device ran out of memory ({str(error).splitlines()[0]}). Halve train.batch_size and double "
                "train.accumulate, choose half precision, or a smaller image or network."
            )
        case MemoryError():
            return "The machine ran out of memory. Halve train.batch_size, or choose a smaller image or network."
        case OSError(errno=errno.ENOSPC):
            return (
                f"No space is left on the disk while writing {error.filename or 'the run'}. What was recorded before "
                "is kept. Free some space, then resume the run."
            )
        case OSError():
            return (
                f"{error.strerror or error}: {error.filename or 'a file of the run'}. Mend this, then resume the run."
            )
    return f"Unexpected {type(error).__name__}: {error}. The log has the details; resume the run or report this."
