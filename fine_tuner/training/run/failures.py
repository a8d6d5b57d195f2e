"""An error that ended a run, for the person whose run it is: what has to be mended, and the message."""

from __future__ import annotations

import errno

from fine_tuner.base.errors import (
    ConfigError,
    DataError,
    FineTunerError,
    NonFiniteError,
    OutOfMemoryError,
    WeightsError,
)
from fine_tuner.distributed.device_memory import is_out_of_memory
from fine_tuner.runs.view.status import Cause


def cause_of(error: Exception) -> Cause:
    """What has to be mended, for the page's next step; see ``runs/view/status.py``."""
    match error:
        case WeightsError():
            return "weights"
        case DataError():
            return "data"
        case ConfigError():
            return "setting"
        case NonFiniteError():
            return "numbers"
        case OSError(errno=errno.ENOSPC):
            return "disk"
        case OutOfMemoryError():
            return "memory"
        case _ if is_out_of_memory(error):
            return "memory"
    return "other"


def message_for(error: Exception) -> str:
    """What happened, where, and what to do, for the person whose run this is."""
    match error:
        case FineTunerError():
            return str(error)
        case _ if is_out_of_memory(error):
            said = (str(error).splitlines() or ["no room for an array"])[0]
            return (
                f"Memory ran out ({said}) where fewer images at once do not help. Choose half precision, an "
                "optimizer with less state (SGD), or a smaller image or network; then start the run again."
            )
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
