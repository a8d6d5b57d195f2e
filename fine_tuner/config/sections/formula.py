"""A formula in a few names, evaluated as floating-point arithmetic and nothing else.

The text is parsed to Python's syntax tree, every node must be on a short list, and numbers and powers are made floats,
so that a formula can neither reach an object nor fill the memory with digits (``10**10**10`` overflows at once).
It is still text that runs: only the owner of the app may set one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any

SCHEDULE_NAMES = ("step", "epoch", "total_steps")
FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": lambda x: float(round(x)),
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "pow": math.pow,
    **{
        name: getattr(math, name)
        for name in ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "tanh")
    },
}
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Call, ast.Name, ast.Constant,
    ast.Load, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip
_NOT_ARITHMETIC = (
    ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift, ast.Invert, ast.MatMult,
    ast.In, ast.NotIn, ast.Is, ast.IsNot,
)  # fmt: skip
_MAX_NODES = 500


class Formula:
    """A callable made from text: ``Formula("1 - step / total", ("step", "total"))(step=1, total=4)`` is 0.75."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        """Parse ``text``, which may use ``names``, ``CONSTANTS`` and ``FUNCTIONS``.

        Raises:
            ValueError: If the text is not arithmetic in these; the message says what of it is not.
        """
        self.text, self.names = text, names
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "too deep"
            raise ValueError(f"{text!r} is not a formula ({reason})") from None
        for count, node in enumerate(ast.walk(tree)):
            self._check(node)
            if count > _MAX_NODES:
                raise ValueError(f"a formula of more than {_MAX_NODES} parts is too long")
        self._plain = ast.fix_missing_locations(_ToFloats().visit(tree))
        self._code = compile(self._plain, "<formula>", "eval")
        self._globals = {"__builtins__": {}, **FUNCTIONS, **CONSTANTS}

    def _check(self, node: ast.AST) -> None:
        known = (*self.names, *CONSTANTS, *FUNCTIONS)
        if not isinstance(node, _NODES) or isinstance(node, _NOT_ARITHMETIC):
            raise ValueError(f"{self.text!r} is not arithmetic: {type(node).__name__} may not be used")
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float):
            raise ValueError(f"{node.value!r} in {self.text!r} is not a number")
        if isinstance(node, ast.Name) and node.id not in known:
            raise ValueError(f"unknown name {node.id!r} in {self.text!r}; known are {', '.join(known)}")
        if isinstance(node, ast.Call) and (
            not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords
        ):
            raise ValueError(f"{ast.unparse(node)!r} may not be called; functions are {', '.join(FUNCTIONS)}")

    def as_python(self) -> str:
        """The same as a Python expression, which needs the names used from ``math`` and every value as a float."""
        return ast.unparse(self._plain)

    def __call__(self, **values: float) -> float:
        """Value of the formula, finite.

        Args:
            values: One number for each of ``names``.

        Raises:
            ValueError: If it cannot be computed or is not a finite number; the message names the values.
        """
        floats = {name: float(value) for name, value in values.items()}
        try:
            result = float(eval(self._code, self._globals, floats))
        except (ArithmeticError, ValueError, TypeError) as error:
            raise ValueError(f"{self.text!r} cannot be computed ({error}) at {_listed(values)}") from None
        if not math.isfinite(result):
            raise ValueError(f"{self.text!r} is {result} at {_listed(values)}")
        return result


class ScheduleFactor:
    """Factor of the rate that a formula in ``SCHEDULE_NAMES`` gives for each tick of a schedule by steps.

    Args:
        text: The formula.
        ticks: Steps of the schedule; its ``total_steps``.
        steps_per_epoch: Optimizer steps in one epoch.
        warmup_steps: Steps before the first tick.
    """

    def __init__(self, text: str, *, ticks: int, steps_per_epoch: int, warmup_steps: int = 0) -> None:
        self._formula = Formula(text, SCHEDULE_NAMES)
        self._ticks, self._steps_per_epoch, self._warmup_steps = ticks, steps_per_epoch, warmup_steps

    def __call__(self, tick: int) -> float:
        """The factor, finite and not negative.

        Raises:
            ValueError: If it is not; the message names the values.
        """
        epoch = (tick + self._warmup_steps) // self._steps_per_epoch - self._warmup_steps // self._steps_per_epoch
        values = {"step": tick, "epoch": epoch, "total_steps": self._ticks}
        factor = self._formula(**values)
        if factor < 0:
            raise ValueError(f"{self._formula.text!r} is {factor:g} at {_listed(values)}, but a rate is at least 0")
        return factor


class _ToFloats(ast.NodeTransformer):
    """Numbers become floats, and ``a ** b`` becomes ``pow(a, b)`` of floats."""

    def visit_Constant(self, node: ast.Constant) -> Any:
        try:
            return ast.copy_location(ast.Constant(float(node.value)), node)
        except OverflowError:
            raise ValueError(f"the number {str(node.value)[:12]}... is too large") from None

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        if isinstance(node.op, ast.Pow):
            call = ast.Call(func=ast.Name(id="pow", ctx=ast.Load()), args=[node.left, node.right], keywords=[])
            return ast.copy_location(call, node)
        return node


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in values.items())
