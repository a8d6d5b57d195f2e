"""Copies of our own functions and classes, with all that they need, as text that runs without this package.

So a script contains the very formulas that trained, and cannot drift from them. A name that is used at run time is
followed to its definition; one that is only an annotation is not.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_OURS = "fine_tuner"
Import = tuple[str, str, str]  # module, name in it (empty for the module itself), name here


class Bundle:
    """Definitions taken so far, and the imports that they need.

    Args:
        reserved: Names that the script has for itself.
        imports: What the script imports for itself.
    """

    def __init__(self, reserved: Iterable[str] = (), imports: Iterable[Import] = ()) -> None:
        self._reserved = set(reserved)
        self._taken: dict[str, str] = {}
        self._imports: set[Import] = set(imports)

    def take(self, *wanted: Any) -> str:
        """Text of functions and classes of ours, what they need first; empty for those that were taken before.

        Raises:
            ValueError: If two different things of one name would meet in the script.
        """
        parts: list[str] = []
        for one in wanted:
            self._take(_module(one.__module__), one.__name__, parts)
        return "\n\n\n".join(parts)

    def _take(self, module: _Module, name: str, parts: list[str]) -> None:
        node = module.definitions[name]
        text = module.text_of(node)
        if self._taken.get(name) == text:
            return
        if name in self._taken or name in self._reserved:
            raise ValueError(f"{name} of {module.name} meets another {name} in the script")
        self._taken[name] = text
        running, annotating = _names_in(node)
        for used in sorted(running | annotating):
            self._follow(module, used, parts, is_needed=used in running)
        parts.append(text)

    def _follow(self, module: _Module, name: str, parts: list[str], *, is_needed: bool) -> None:
        if name in module.definitions:
            if is_needed or isinstance(module.definitions[name], ast.Assign):
                self._take(module, name, parts)
        elif name in module.imports:
            source, inner = module.imports[name]
            if not source.startswith(_OURS):
                self._imports.add((source, inner, name))
            elif is_needed:
                self._take(_module(source), inner, parts)
        elif is_needed and not hasattr(builtins, name) and not module.binds(name):
            raise ValueError(f"{name} in {module.name} is not defined there")

    # ------------------------------------------------------ code of others beside it
    def need(self, *wanted: Import) -> None:
        """Import these too."""
        self._imports.update(wanted)

    def can_stand_beside(self, names: Iterable[str], imports: Iterable[Import]) -> bool:
        """Whether code that defines ``names`` and makes ``imports`` takes no name of the script's."""
        ours = {one[2]: _origin(one) for one in self._imports}
        mine = self._taken.keys() | self._reserved
        same = all(one[2] not in mine and ours.get(one[2], _origin(one)) == _origin(one) for one in imports)
        return same and not any(name in mine or name in ours for name in names)

    def reserve(self, names: Iterable[str]) -> None:
        """Names that are used from now on."""
        self._reserved.update(names)

    def imports(self) -> str:
        """Import statements for all that was taken: modules first."""
        found = {(_origin(one), one[2]): one for one in sorted(self._imports)}.values()
        plain = sorted(f"import {m}" + (f" as {n}" if n != m else "") for m, inner, n in found if not inner)
        members: dict[str, set[str]] = {}
        for source, inner, name in found:
            if inner:
                members.setdefault(source, set()).add(inner if inner == name else f"{inner} as {name}")
        return "\n".join(
            [*plain, *(f"from {m} import {', '.join(sorted(names))}" for m, names in sorted(members.items()))]
        )


def _origin(one: Import) -> str:
    """What an import names: ``torch.nn.functional``, however it is written."""
    source, inner, _ = one
    return f"{source}.{inner}".rstrip(".")


@dataclass(frozen=True)
class _Module:
    """One of our modules as text.

    Attributes:
        definitions: Functions, classes and constants by name.
        imports: Name to where it comes from: module, and name in it or an empty string.
    """

    name: str
    lines: tuple[str, ...]
    definitions: dict[str, ast.stmt]
    imports: dict[str, tuple[str, str]]
    tree: ast.Module

    def text_of(self, node: ast.stmt) -> str:
        """Source of a definition, with its decorators and the comments just above."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        while first > 1 and self.lines[first - 2].startswith("#") and "----" not in self.lines[first - 2]:
            first -= 1
        after = self.lines[node.end_lineno :]  # a docstring of a constant belongs to it
        end = node.end_lineno or first
        if isinstance(node, ast.Assign) and after and after[0].startswith('"""'):
            end += 1 + next(i for i, line in enumerate(after) if line.rstrip().endswith('"""'))
        return "\n".join(self.lines[first - 1 : end])

    def binds(self, name: str) -> bool:
        """Whether some function here has a variable or an argument of this name."""
        return any(
            (isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == name)
            or (isinstance(n, ast.arg) and n.arg == name)
            or (isinstance(n, ast.MatchAs | ast.MatchStar) and n.name == name)
            or (isinstance(n, ast.ExceptHandler | ast.FunctionDef) and n.name == name)
            for n in ast.walk(self.tree)
        )


@cache
def _module(name: str) -> _Module:
    module: ModuleType = importlib.import_module(name)
    text = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    tree = ast.parse(text)
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=own) | ast.ClassDef(name=own):
                definitions[own] = node
            case ast.Assign(targets=targets):
                definitions |= {n.id: node for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=own)):
                definitions[own] = node
            case ast.ImportFrom(module=source, names=names) if source and source != "__future__":
                imports |= {a.asname or a.name: (source, a.name) for a in names}
            case ast.Import(names=names):
                imports |= {a.asname or a.name.partition(".")[0]: (a.name, "") for a in names}
    return _Module(name, tuple(text.splitlines()), definitions, imports, tree)


def _names_in(node: ast.AST) -> tuple[set[str], set[str]]:
    """Names that are looked up when the code runs, and those that only stand in annotations."""
    running: set[str] = set()
    annotating: set[str] = set()
    stack: list[tuple[ast.AST, bool]] = [(node, False)]
    while stack:
        found, in_annotation = stack.pop()
        if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Load):
            (annotating if in_annotation else running).add(found.id)
        for field, value in ast.iter_fields(found):
            inside = in_annotation or field in ("annotation", "returns")
            children = value if isinstance(value, list) else [value]
            stack += [(child, inside) for child in children if isinstance(child, ast.AST)]
    return running, annotating - running
