"""What can go wrong, as types a caller can act on.

Every message has three parts: what is wrong (with the value), where (dotted path, file, step), and what to do.

::

    FineTunerError            shown to the user as it is, never with a traceback
    |-- InputError            the user's input is wrong: exit code 2, nothing was started
    |   |-- ConfigError       a setting; carries the dotted path of each bad field
    |   |-- DataError         the data folder or a file in it
    |   |-- WeightsError      pretrained weights that cannot be had or do not fit
    |   `-- RunError          no such run, or a run in a state that forbids the wish
    `-- TrainingError         the run began and failed: exit code 1
        |-- NonFiniteError    loss or gradient is NaN or infinite; the weights were not updated
        `-- OutOfMemoryError  memory does not suffice for a single image
"""

from __future__ import annotations

from collections.abc import Mapping


class FineTunerError(Exception):
    """Base of all errors whose message is written for the user."""


class InputError(FineTunerError):
    """The user's input is wrong; nothing was started."""


class ConfigError(InputError):
    """One or more settings are wrong.

    Attributes:
        fields: Dotted path of each bad setting to its message, so that a form can show it at the field.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("\n".join(f"{path}: {message}" for path, message in self.fields.items()))


class DataError(InputError):
    """The data cannot be used as it is; the message names the folder or file."""


class WeightsError(InputError):
    """Pretrained weights cannot be had or do not fit the network."""


class RunError(InputError):
    """No such run, or its state forbids what was asked."""


class TrainingError(FineTunerError):
    """The run began and could not go on."""


class NonFiniteError(TrainingError):
    """The loss or a gradient is NaN or infinite; the weights were not updated."""


class OutOfMemoryError(TrainingError):
    """Memory does not suffice for a single image: fewer at once do not help."""


class DeadLoaderError(TrainingError):
    """A process that loads images died, most often because the system took its memory."""

    def __init__(self, said: str) -> None:
        cause = said.strip().splitlines()[-1].strip().rstrip(". ")  # the lines before are the process's traceback
        super().__init__(
            f"A process that loads images died ({cause}). Most often the machine ran out of memory, or a container of "
            "shared memory (/dev/shm). Lower data.num_workers (0 needs none), or train.batch_size."
        )


def loader_death(error: Exception) -> DeadLoaderError | None:
    """What ``error`` means if torch says by it that a loading process died.

    torch raises it from a signal handler, so wherever the parent is at that moment, also in the middle of a step.
    """
    is_death = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    return DeadLoaderError(str(error)) if is_death else None
