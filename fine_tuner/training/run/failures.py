"""An error that ended a run, for the person whose run it is: what has to be mended, and the message."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fine_tuner.base.errors import (
    ConfigError,
    DataError,
    DeadLoaderError,
    FineTunerError,
    NonFiniteError,
    OutOfMemoryError,
    WeightsError,
)
from fine_tuner.distributed.device_memory import is_out_of_memory
from fine_tuner.runs.view.status import Cause


def is_full_disk(error: Exception) -> bool:
    """Whether a file could not be written for want of space, of the disk's or of the user's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_of_file_system(error: Exception, folder: Path) -> bool:
    """Whether the error is of the disk, or of the run's own folder (removed, read-only), and of no mistake in code."""
    return is_full_disk(error) or (
        isinstance(error, OSError) and str(error.filename or "").startswith(f"{folder}{os.sep}")
    )


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
        case _ if is_full_disk(error):
            return "disk"
        case OutOfMemoryError():
            return "memory"
        case DeadLoaderError():
            return "killed"
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
        case OSError() if is_full_disk(error):
            full = "No space is left on the disk" if error.errno == errno.ENOSPC else "The disk quota is used up"
            return (
                f"{full} while writing {error.filename or 'the run'}. What was recorded before is kept. Free some "
                "space, then resume the run."
            )
        case OSError():
            return (
                f"{error.strerror or error}: {error.filename or 'a file of the run'}. Mend this, then resume the run."
            )
    return f"Unexpected {type(error).__name__}: {error}. The log has the details; resume the run or report this."
