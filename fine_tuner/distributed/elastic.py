"""torchrun inside this process, so that its locks, its exit code and its last words are those of the command."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousClosedError, RendezvousError
from torch.distributed.run import parse_args, run

from fine_tuner.base.errors import TrainingError


def run_torchrun(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start the processes and wait for their end, whatever it is; what became of the run is in its log.

    Args:
        arguments: As for ``torchrun``.
        environment: Variables for the processes.

    Raises:
        TrainingError: If they could not come together.
    """
    os.environ |= environment
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)  # its warnings are of what is meant here
    options = parse_args(list(arguments))
    try:
        run(options)
    except (SignalException, ChildFailedError):
        pass
    except RendezvousClosedError as error:
        raise TrainingError(
            f"The nodes came together before, and ended ({error}). Start the line on all of them again."
        ) from error
    except (RendezvousError, OSError) as error:
        raise TrainingError(
            f"The {options.nnodes} nodes did not come together at {options.rdzv_endpoint} ({error}). Look whether that "
            "host and port can be reached from each of them, whether something else uses the port, and whether all "
            "of them were started."
        ) from error
