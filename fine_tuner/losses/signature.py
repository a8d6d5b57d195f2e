"""What a user's file defines, told from its text without running it: possible losses and their arguments. No torch.

Arguments are written as in a call, ``gamma=2.0, weight=torch.tensor([1.0, 2.0])``, and hold Python literals.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["constructor", "forward"]
TENSOR_CALLS = ("torch.tensor", "torch.Tensor", "torch.FloatTensor", "tensor")


@dataclass(frozen=True, slots=True)
class TensorValue:
    """``torch.tensor(values)`` among arguments."""

    values: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """One argument that a user may set, beside output and target.

    Attributes:
        default: As written in the file; None for one that must be given.
        role: Whether the constructor takes it, or the call with output and target.
    """

    name: str
    default: str | None
    role: Role


@dataclass(frozen=True, kw_only=True, slots=True)
class PossibleLoss:
    """A function, class or object of a file that can be used as a loss."""

    name: str
    style: Literal["function", "class", "object"]
    line: int
    arguments: tuple[Argument, ...]


def read_arguments(text: str) -> dict[str, Any]:
    """Name to value of ``"gamma=2.0, reduction='mean'"``; a tensor as ``TensorValue``.

    Raises:
        ValueError: If it is not of this form; the message says what is wrong and what to write.
    """
    return {str(k.arg): _value(str(k.arg), k.value) for k in keywords_of(text)}


def keywords_of(text: str) -> list[ast.keyword]:
    """The arguments of ``read_arguments`` as they are written.

    Raises:
        ValueError: If they are not of this form.
    """
    wanted = "Write them as in a call: gamma=2.0, weight=[1.0, 2.0]."
    try:
        call = ast.parse(f"loss({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise ValueError(f"{text!r} is not a list of name=value. {wanted}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"{text!r} is not a list of name=value. {wanted}")
    if call.args or any(k.arg is None for k in call.keywords):
        raise ValueError(f"{text!r} has a value without a name. {wanted}")
    return call.keywords


def _value(name: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in TENSOR_CALLS and len(node.args) == 1:
        return TensorValue(_value(name, node.args[0]))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        text = ast.unparse(node)
        raise ValueError(f"{name}={text} is no number, text, list or torch.tensor([...]). Write it as one.") from None


# ------------------------------------------------------------ what a file defines
def possible_losses(text: str, *, only_main: bool = True) -> tuple[PossibleLoss, ...]:
    """What can be used as ``loss(output, target)``; empty if the text is not Python.

    Args:
        text: Of the file.
        only_main: Leave out what others of them use, see ``main_names``.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found = {p.name: p for p in (_possible(node, tree) for node in tree.body) if p is not None}
    return tuple(found[name] for name in (main_names(text, found) if only_main else found))


def main_names(text: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that no other of them uses: no class of which the file makes an object, no helper.

    All of them if none would remain.
    """
    tree = ast.parse(text)
    wanted = list(names)
    nodes = {name: node for node in tree.body for name in bound_names(node) if name in wanted}
    used = {
        called.id
        for name, node in nodes.items()
        for called in ast.walk(node)
        if isinstance(called, ast.Name) and isinstance(called.ctx, ast.Load) and called.id != name
    }
    return [name for name in wanted if name not in used] or wanted


def bound_names(node: ast.stmt) -> list[str]:
    """Names that a function, a class or an assignment gives."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [t.id for t in targets if isinstance(t, ast.Name)]
    return []


def _possible(node: ast.stmt, tree: ast.Module) -> PossibleLoss | None:
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    match node:
        case ast.FunctionDef(name=name, args=arguments) if not name.startswith("_") and _takes(arguments, 2):
            extra = _optional(arguments, 2, "forward")
            return PossibleLoss(name=name, style="function", line=node.lineno, arguments=extra)
        case ast.ClassDef(name=name) if not name.startswith("_"):
            forward = _method(node, "forward") or _method(node, "__call__")
            if forward is None or not _takes(forward, 3):
                return None
            made = _method(node, "__init__")
            own = _optional(made, 1, "constructor") if made is not None else ()
            arguments = (*own, *_optional(forward, 3, "forward"))
            return PossibleLoss(name=name, style="class", line=node.lineno, arguments=arguments)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda(args=arguments)) if _takes(arguments, 2):
            return PossibleLoss(name=name, style="function", line=node.lineno, arguments=())
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if not name.startswith("_"):
            func = ast.unparse(call.func)
            made_of = classes.get(func)
            is_partial = func in ("partial", "functools.partial") and bool(call.args) and _is_loss(call.args[0])
            if made_of is None and not is_partial and not _is_loss(call.func):
                return None
            forward = None if made_of is None else _method(made_of, "forward") or _method(made_of, "__call__")
            extra = () if forward is None else _optional(forward, 3, "forward")
            return PossibleLoss(name=name, style="object", line=node.lineno, arguments=extra)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Attribute() as value) if _is_loss(value):
            return PossibleLoss(name=name, style="object", line=node.lineno, arguments=())
    return None


def _is_loss(node: ast.expr) -> bool:
    """Whether an expression is named like a loss of a library's: ``nn.MSELoss``, ``F.cross_entropy``."""
    last = ast.unparse(node).rpartition(".")[2].lower()
    return last.endswith(("loss", "entropy"))


def _method(node: ast.ClassDef, name: str) -> ast.arguments | None:
    return next((n.args for n in node.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether ``count`` positional arguments are enough and not too many."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    most = float("inf") if arguments.vararg else len(positional)
    return needed <= count <= most and all(default is not None for default in arguments.kw_defaults)


def _optional(arguments: ast.arguments, skipped: int, role: Role) -> tuple[Argument, ...]:
    """The named arguments after the first ``skipped``."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))[skipped:]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return tuple(
        Argument(name=a.arg, default=None if d is None else ast.unparse(d), role=role) for a, d in pairs
    )  # fmt: skip
