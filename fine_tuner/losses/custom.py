"""A user's own loss from a Python file: finding it, calling it, and messages that point at the user's line.

Both styles that PyTorch users write are taken: a function ``my_loss(output, target)`` and a class of ``nn.Module``
whose ``forward(output, target)`` does it. The code runs with the rights of this process; nothing here is a sandbox.
The page runs it only in a child process (``sandbox.py``) and in the training process.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import TrainingError
from fine_tuner.base.registry import suggest
from fine_tuner.losses.code import LossCode, LossCodeError, first_sentence, read_code
from fine_tuner.losses.inputs import at_least_float32, without_autocast

USER_ERRORS = (Exception, SystemExit)
"""What a user's code may raise. KeyboardInterrupt is the user's own and passes."""


class CustomLossModule(nn.Module):
    """Calls a user's loss with raw output in float32 and autocast off, and insists on a float scalar.

    Args:
        loss: The user's function or module, called as ``loss(output, target)``.
        code: The file it comes from.
        entry: Its name there.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], code: LossCode, entry: str) -> None:
        super().__init__()
        self.loss = loss
        self.code = code
        self.entry = entry

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The user's loss as a scalar float32.

        Raises:
            TrainingError: If the user's code raises or returns anything but a floating point scalar tensor; the
                message names the line.
        """
        with without_autocast(output.device):
            try:
                value = self.loss(at_least_float32(output), target)
            except torch.OutOfMemoryError:
                raise  # the trainer answers with a smaller micro-batch
            except USER_ERRORS as error:
                line = self.code.line_of(error.__traceback__)
                remedy = "Correct the line, and run the check on the loss."
                finding = self.code.finding("error", "raises", first_sentence(error), remedy, line)
                raise TrainingError(finding.text) from error
        if not isinstance(value, Tensor) or value.ndim != 0 or not value.is_floating_point():
            got = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            line = self.code.last_return(self.entry)
            remedy = "Return one floating point number as a tensor, for instance with .mean()."
            finding = self.code.finding("error", "not_scalar", f"the loss returned {got}, not a scalar", remedy, line)
            raise TrainingError(finding.text)
        return at_least_float32(value)

    def extra_repr(self) -> str:
        """File, entry and hash."""
        return f"{self.code.path.name}:{self.entry}, sha256={self.code.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class LoadedLoss:
    """A user's loss, ready to be called."""

    module: CustomLossModule
    style: Literal["function", "class"]

    @property
    def code(self) -> LossCode:
        """The file it comes from."""
        return self.module.code

    @property
    def entry(self) -> str:
        """Its name in the file."""
        return self.module.entry


def load_custom_loss(file: str | Path, entry: str = "") -> LoadedLoss:
    """Run a user's file and take the loss that it defines.

    Args:
        file: Python file.
        entry: Name of the function or class; empty takes the only one that fits.

    Raises:
        LossCodeError: If the file cannot be read or run, or defines no loss, or several and none is named.
    """
    return load_code(read_code(file), entry)


def load_code(code: LossCode, entry: str = "") -> LoadedLoss:
    """As ``load_custom_loss``, of a file that was read: what was looked at is what runs.

    Raises:
        LossCodeError: If it cannot be run, or defines no loss, or several and none is named.
    """
    module = _execute(code)
    name = entry.strip() or _only_candidate(code, module)
    if not hasattr(module, name):
        known = [n for n in vars(module) if not n.startswith("__")]
        defined = ", ".join(_candidates(module)) or "no loss"
        raise code.error("no_entry", f"the file defines no {name!r}", f"It defines {defined}.{suggest(name, known)}")
    found = getattr(module, name)
    if inspect.isclass(found):
        return LoadedLoss(CustomLossModule(_instantiate(code, found, name), code, name), "class")
    if isinstance(found, nn.Module):
        return LoadedLoss(CustomLossModule(found, code, name), "class")
    if not callable(found):
        remedy = "Name a function my_loss(output, target) or a class of nn.Module."
        raise code.error("not_callable", f"{name!r} is {type(found).__name__}, not a function or class", remedy)
    return LoadedLoss(CustomLossModule(found, code, name), "function")


# ------------------------------------------------------------- running the file
def _execute(code: LossCode) -> ModuleType:
    """A module made from the user's text; ``sys.modules`` holds it, as dataclasses and pickle want."""
    try:
        compiled = compile(code.text, str(code.path), "exec", dont_inherit=True)
    except SyntaxError as error:
        what = f"Python cannot read this: {error.msg}"
        raise code.error("syntax", what, "Correct the line; the mistake may be just before it.", error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise code.error("syntax", first_sentence(error), "Write plain Python text.") from None
    module = ModuleType(f"fine_tuner_custom_loss_{code.sha256[:12]}")
    module.__file__ = str(code.path)
    sys.modules[module.__name__] = module
    try:
        exec(compiled, module.__dict__)
    except USER_ERRORS as error:
        sys.modules.pop(module.__name__, None)
        raise _import_error(code, error) from error
    return module


def _import_error(code: LossCode, error: BaseException) -> LossCodeError:
    """What to say of a file that fails while it is read."""
    line = code.line_of(error.__traceback__)
    if isinstance(error, SystemExit):
        return code.error("exits", f"the file ends Python ({first_sentence(error)})", "Remove the exit.", line)
    if isinstance(error, ModuleNotFoundError):
        remedy = "Install it where the app runs, or write the loss in one file with torch alone."
        return code.error("no_module", f"there is no module {error.name!r}", remedy, line)
    what = f"the file fails while it is read, {first_sentence(error)}"
    return code.error("raises", what, "Correct the line; only definitions belong outside functions.", line)


def _instantiate(code: LossCode, cls: type, name: str) -> nn.Module:
    definition = code.definition(name)
    line = definition.lineno if definition else None
    if not issubclass(cls, nn.Module):
        remedy = f"Write class {name}(nn.Module) with super().__init__() and forward(self, output, target)."
        raise code.error("not_module", f"class {name} is not an nn.Module", remedy, line)
    if "forward" not in _methods(cls):
        raise code.error("no_forward", f"class {name} has no forward", "Write def forward(self, output, target).", line)
    needed = _required_arguments(cls)
    if needed:
        remedy = f"Give each a default, or write my_loss = {name}(...) below the class."
        raise code.error("needs_arguments", f"{name}() needs {', '.join(needed)}", remedy, line)
    try:
        return cls()
    except USER_ERRORS as error:
        at = code.line_of(error.__traceback__) or line
        remedy = "Correct __init__; it starts with super().__init__()."
        raise code.error("raises", f"{name}() fails, {first_sentence(error)}", remedy, at) from error


def _methods(cls: type) -> set[str]:
    """Names defined by the class and its bases below nn.Module."""
    return {name for base in cls.__mro__ if base not in (nn.Module, object) for name in vars(base)}


def _required_arguments(cls: type) -> list[str]:
    with suppress(TypeError, ValueError):
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = inspect.signature(cls).parameters.values()
        return [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind not in kinds]
    return []


# ------------------------------------------------------------- which one is meant
def _only_candidate(code: LossCode, module: ModuleType) -> str:
    names = _candidates(module)
    if len(names) == 1:
        return names[0]
    if names:
        remedy = "Write the name of the one to use in 'Name in the file', or start the others' names with '_'."
        raise code.error("several", f"the file defines {len(names)} possible losses: {', '.join(names)}", remedy)
    for name, found in _own(module).items():
        if inspect.isclass(found) and (not issubclass(found, nn.Module) or _required_arguments(found)):
            _instantiate(code, found, name)
    near = [f"{n}{inspect.signature(f.forward if inspect.isclass(f) else f)}" for n, f in _own(module).items()]
    beside = f", only {', '.join(near)}" if near else ""
    remedy = "Write def my_loss(output, target): ..., or class MyLoss(nn.Module) with forward(self, output, target)."
    raise code.error("no_loss", f"the file defines no loss of (output, target){beside}", remedy)


def _own(module: ModuleType) -> dict[str, Any]:
    """Functions, classes and modules that the file defines itself, without ``_names`` and second names."""
    own: dict[int, tuple[str, Any]] = {}
    for name, found in vars(module).items():
        is_ours = getattr(found, "__module__", None) == module.__name__ or isinstance(found, nn.Module)
        if callable(found) and is_ours and not name.startswith("_"):
            own.setdefault(id(found), (name, found))
    return dict(own.values())


def _candidates(module: ModuleType) -> list[str]:
    """Names that can be used as ``loss(output, target)`` as they stand."""
    names = []
    for name, found in _own(module).items():
        if inspect.isclass(found):
            fits = issubclass(found, nn.Module) and "forward" in _methods(found) and _takes_two(found.forward, 1)
            fits = fits and not _required_arguments(found)
        else:
            fits = _takes_two(found.forward if isinstance(found, nn.Module) else found, 0)
        if fits:
            names.append(name)
    return names


def _takes_two(call: Callable[..., Any], bound: int) -> bool:
    """Whether ``call(output, target)`` binds, after ``bound`` leading arguments."""
    with suppress(TypeError, ValueError):
        inspect.signature(call).bind(*[None] * (bound + 2))
        return True
    return False
