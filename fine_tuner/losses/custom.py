"""A user's own loss from a Python file: finding it, calling it, and messages that point at the user's line.

Both styles that PyTorch users write are taken: a function ``my_loss(output, target)`` and a class of ``nn.Module``
whose ``forward(output, target)`` does it; so is an object that the file makes of such a class. What the code is given
of output and target is the matter of ``adapt.py``. The code runs with the rights of this process; nothing here is a
sandbox. The page runs it only in a child process (``sandbox.py``) and in the training process.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fine_tuner.base.errors import TrainingError
from fine_tuner.base.registry import suggest
from fine_tuner.config.tasks import TargetKind
from fine_tuner.losses.adapt import Adaptation
from fine_tuner.losses.code import LossCode, LossCodeError, first_sentence, read_code
from fine_tuner.losses.formula_parts import at_least_float32, without_autocast
from fine_tuner.losses.pasted import CUSTOMARY, import_of, names_to_import, syntax_remedy
from fine_tuner.losses.signature import TensorValue, bound_names, main_names, read_arguments

USER_ERRORS = (Exception, SystemExit)
"""What a user's code may raise. KeyboardInterrupt is the user's own and passes."""
NO_GPU = "Write .to(output.device) instead of .cuda() or 'cuda': that runs with and without a GPU."
NO_GPU_AT_LOAD = (
    "Remove .cuda() or 'cuda' here: a loss object and what it holds are moved to where the training runs. A tensor "
    "that a function uses is moved there: .to(output.device)."
)
NUM_CLASSES = ("num_classes", "n_classes", "classes", "num_labels", "nclasses", "C")
"""Names under which a constructor asks for the number of classes."""


class CustomLossModule(nn.Module):
    """Calls a user's loss with what ``adaptation`` makes of output and target, in float32 and with autocast off.

    Args:
        loss: The user's function or module, called as ``loss(output, target, **extra)``.
        code: The file it comes from.
        entry: Its name there.
        extra: What else it is called with.
        adaptation: What it is given; logits and targets as they are until another is set.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        code: LossCode,
        entry: str,
        *,
        extra: Mapping[str, Any] | None = None,
        adaptation: Adaptation | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.code = code
        self.entry = entry
        self.extra = dict(extra or {})
        self.adaptation = adaptation or Adaptation(kind=TargetKind.NUMBERS)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The user's loss as a scalar float32; the mean of one that is a value per image, pixel or class.

        Where every pixel is left out it is 0, with a zero gradient.

        Raises:
            TrainingError: If the user's code raises or returns anything but a floating point tensor; the message
                names the line.
        """
        with without_autocast(output.device):
            given, wanted = self.adaptation(at_least_float32(output), target)
            if not given.numel():
                return at_least_float32(output).sum() * 0.0
            try:
                value = self.value_of(given, wanted)
            except torch.OutOfMemoryError:
                raise  # the trainer answers with a smaller micro-batch
            except USER_ERRORS as error:
                line = self.code.line_of(error.__traceback__)
                remedy = "Correct the line, and run the check on the loss."
                finding = self.code.finding("error", "raises", first_sentence(error), remedy, line)
                raise TrainingError(finding.text) from error
        if not isinstance(value, Tensor) or not value.is_floating_point() or not value.numel():
            got = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            line = self.code.last_return(self.entry)
            remedy = "Return one floating point number as a tensor, for instance with .mean()."
            finding = self.code.finding("error", "not_scalar", f"the loss returned {got}, not a scalar", remedy, line)
            raise TrainingError(finding.text)
        return at_least_float32(value).mean()

    def value_of(self, given: Tensor, wanted: Tensor) -> Any:
        """What the user's code returns for what ``adaptation`` gave."""
        return self.loss(given, wanted, **self.extra)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> CustomLossModule:
        """Move (or cast) the module, and tensors that the user's classes hold as plain attributes."""
        super()._apply(fn, recurse)
        for holder in self.loss.modules() if isinstance(self.loss, nn.Module) else (self.loss,):
            for name, value in list(getattr(holder, "__dict__", {}).items()):
                if isinstance(value, Tensor):
                    setattr(holder, name, fn(value))
        self.extra = {name: fn(v) if isinstance(v, Tensor) else v for name, v in self.extra.items()}
        return self

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

    @property
    def first_two(self) -> tuple[str, str]:
        """Names that the code gives to output and target; empty where it names none."""
        loss = self.module.loss
        names = _names_of(loss.forward if isinstance(loss, nn.Module) else loss)
        first, second, *_ = [*names, "", ""]
        return first, second


def load_custom_loss(file: str | Path, entry: str = "", *, arguments: str = "", num_outputs: int = 0) -> LoadedLoss:
    """Run a user's file and take the loss that it defines.

    Args:
        file: Python file.
        entry: Name of the function, class or object; empty takes the only one that fits.
        arguments: For its constructor, or for the call beside output and target: ``"gamma=2.0, alpha=0.5"``. A name
            that both take goes to both.
        num_outputs: Given to a constructor that asks for a number of classes by name and has no default for it; 0 for
            none.

    Raises:
        LossCodeError: If the file cannot be read or run, or defines no loss, or several and none is named.
    """
    return load_code(read_code(file), entry, arguments=arguments, num_outputs=num_outputs)


def load_code(code: LossCode, entry: str = "", *, arguments: str = "", num_outputs: int = 0) -> LoadedLoss:
    """As ``load_custom_loss``, of a file that was read: what was looked at is what runs.

    Raises:
        LossCodeError: If it cannot be run, or defines no loss, or several and none is named.
    """
    given = _read_arguments(code, arguments)
    module = _execute(code)
    name = entry.strip() or _only_candidate(code, module)
    if not hasattr(module, name):
        known = [n for n in vars(module) if not n.startswith("__")]
        defined = ", ".join(_candidates(code, module)) or "no loss"
        raise code.error("no_entry", f"the file defines no {name!r}", f"It defines {defined}.{suggest(name, known)}")
    found, call = getattr(module, name), getattr(module, name)
    taken: set[str] = set()
    style: Literal["function", "class"] = "function"
    if inspect.isclass(found):
        own = {n: v for n, v in _with_num_classes(found, given, num_outputs).items() if n in _names_of(found)}
        found = _instantiate(code, found, name, own)
        taken |= own.keys()
    if isinstance(found, nn.Module):
        style, call = "class", found.forward
    elif not callable(found):
        remedy = "Name a function my_loss(output, target) or a class of nn.Module."
        raise code.error("not_callable", f"{name!r} is {type(found).__name__}, not a function or class", remedy)
    extra = {n: v for n, v in given.items() if n in _names_of(call)[2:]}
    if unknown := given.keys() - taken - extra.keys():
        known = ", ".join([*_names_of(getattr(module, name)), *_names_of(call)[2:]]) or "none"
        what = f"{name} takes no argument {', '.join(sorted(unknown))}"
        raise code.error("arguments", what, f"It takes: {known}. Correct 'Arguments'.")
    return LoadedLoss(CustomLossModule(found, code, name, extra=extra), style)


def _read_arguments(code: LossCode, text: str) -> dict[str, Any]:
    try:
        found = read_arguments(text)
        return {
            n: torch.tensor(v.values, dtype=torch.float32) if isinstance(v, TensorValue) else v
            for n, v in found.items()
        }
    except (ValueError, TypeError, RuntimeError) as error:
        remedy = "Correct 'Arguments' (loss.arguments)."
        raise code.error("arguments", first_sentence(error).partition(": ")[2], remedy) from None


def _names_of(call: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a call takes; ``*args`` and ``**kwargs`` left out."""
    with suppress(TypeError, ValueError):
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [p.name for p in inspect.signature(call).parameters.values() if p.kind not in several]
    return []


def _with_num_classes(cls: type, given: Mapping[str, Any], num_outputs: int) -> dict[str, Any]:
    """Arguments with the number of classes under the name by which the constructor needs it."""
    needed = [n for n in _required_arguments(cls) if n in NUM_CLASSES and n not in given]
    return dict(given) | (dict.fromkeys(needed, num_outputs) if num_outputs else {})


# ------------------------------------------------------------- running the file
def _execute(code: LossCode) -> ModuleType:
    """A module made from the user's text; ``sys.modules`` holds it, as dataclasses and pickle want."""
    try:
        compiled = compile(code.text, str(code.path), "exec", dont_inherit=True)
    except SyntaxError as error:
        remedy = syntax_remedy(code.source(error.lineno), error.msg)
        raise code.error("syntax", f"Python cannot read this: {error.msg}", remedy, error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise code.error("syntax", first_sentence(error), "Write plain Python text.") from None
    module = ModuleType(f"fine_tuner_custom_loss_{code.sha256[:12]}")
    module.__file__, module.__package__ = str(code.path), ""
    sys.modules[module.__name__] = module
    try:
        exec("\n".join(map(import_of, names_to_import(code.text))), module.__dict__)
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
    if asks_for_gpu(error):
        return code.error("no_gpu", "the code asks for a GPU, and none is used here", NO_GPU_AT_LOAD, line)
    if isinstance(error, ImportError):
        remedy = "A loss is one file: put what the line imports into it, in place of the line."
        return code.error("raises", what, remedy, line)
    if isinstance(error, NameError) and error.name:
        remedy = f"Define it above: {defines(error.name)}; or remove the line if it is no part of the loss."
        return code.error("raises", what, remedy, line)
    return code.error("raises", what, "Correct the line; only definitions belong outside functions.", line)


def defines(name: str) -> str:
    """A line that would define a name that is not there."""
    return import_of(name) if name in CUSTOMARY else f"{name} = ..."


def asks_for_gpu(error: BaseException) -> bool:
    """Whether code failed since it asked for a GPU that is not there."""
    text = str(error)
    return any(words in text for words in ("NVIDIA driver", "No CUDA GPUs", "not compiled with CUDA"))


def _instantiate(code: LossCode, cls: type, name: str, arguments: Mapping[str, Any]) -> Any:
    definition = code.definition(name)
    line = definition.lineno if definition else None
    is_module = issubclass(cls, nn.Module)
    if not is_module and "__call__" not in _methods(cls):
        remedy = f"Write class {name}(nn.Module) with super().__init__() and forward(self, output, target)."
        raise code.error("not_module", f"class {name} is not an nn.Module", remedy, line)
    if is_module and "forward" not in _methods(cls):
        raise code.error("no_forward", f"class {name} has no forward", "Write def forward(self, output, target).", line)
    needed = [n for n in _required_arguments(cls) if n not in arguments]
    if needed:
        remedy = f"Set them under 'Arguments', give each a default, or write my_loss = {name}(...) below the class."
        raise code.error("needs_arguments", f"{name}() needs {', '.join(needed)}", remedy, line)
    try:
        return cls(**arguments)
    except USER_ERRORS as error:
        at = code.line_of(error.__traceback__) or line
        if asks_for_gpu(error):
            what = "the code asks for a GPU, and none is used here"
            raise code.error("no_gpu", what, NO_GPU_AT_LOAD, at) from error
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
    names = main_names(code.text, _candidates(code, module))
    if len(names) == 1:
        return names[0]
    if names:
        remedy = "Write the name of the one to use in 'Name in the file', or start the others' names with '_'."
        raise code.error("several", f"the file defines {len(names)} possible losses: {', '.join(names)}", remedy)
    for name, found in _own(code, module).items():
        if inspect.isclass(found) and not _is_loss_class(found):
            _instantiate(code, found, name, {})
    near = [f"{n}({', '.join(_names_of(f.forward if _is_module(f) else f))})" for n, f in _own(code, module).items()]
    beside = f", only {', '.join(near)}" if near else ""
    remedy = "Write def my_loss(output, target): ..., or class MyLoss(nn.Module) with forward(self, output, target)."
    raise code.error("no_loss", f"the file defines no loss of (output, target){beside}", remedy)


def _own(code: LossCode, module: ModuleType) -> dict[str, Any]:
    """What can be called and the file itself defines or gives a name, without ``_names`` and second names."""
    own: dict[int, tuple[str, Any]] = {}
    named = {name for node in ast.parse(code.text).body for name in bound_names(node)}
    for name, found in vars(module).items():
        is_made = isinstance(found, nn.Module | functools.partial)
        is_ours = getattr(found, "__module__", None) == module.__name__ or is_made or name in named
        if callable(found) and is_ours and not name.startswith("_"):
            own.setdefault(id(found), (name, found))
    return dict(own.values())


def _candidates(code: LossCode, module: ModuleType) -> list[str]:
    """Names that can be used as ``loss(output, target)``, some of them with arguments for their constructor."""
    names = []
    for name, found in _own(code, module).items():
        if inspect.isclass(found):
            fits = _is_loss_class(found)
        else:
            fits = _takes_two(found.forward if isinstance(found, nn.Module) else found, 0)
        if fits:
            names.append(name)
    return names


def _is_module(found: Any) -> bool:
    return isinstance(found, nn.Module) or (inspect.isclass(found) and issubclass(found, nn.Module))


def _is_loss_class(found: type) -> bool:
    if not _is_module(found):
        return "__call__" in _methods(found) and _takes_two(found.__call__, 1)
    return "forward" in _methods(found) and _takes_two(found.forward, 1)


def _takes_two(call: Callable[..., Any], bound: int) -> bool:
    """Whether ``call(output, target)`` binds, after ``bound`` leading arguments."""
    if isinstance(call, torch.jit.ScriptFunction):
        needed = [a for a in call.schema.arguments if not a.has_default_value()]
        return len(needed) <= 2 <= len(call.schema.arguments)
    with suppress(TypeError, ValueError):
        inspect.signature(call).bind(*[None] * (bound + 2))
        return True
    return False
