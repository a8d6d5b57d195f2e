"""What comes along, or stays behind, when code is copied from a notebook or a page. No torch here.

A cell uses names that another cell imported: the customary ones are imported for it. A command of the notebook, a
prompt, or a space that is none is not Python: the line is named with what to do.
"""

from __future__ import annotations

import symtable
from collections.abc import Iterator

CUSTOMARY = {
    "torch": ("torch", ""),
    "nn": ("torch", "nn"),
    "F": ("torch.nn", "functional"),
    "np": ("numpy", ""),
    "Tensor": ("torch", "Tensor"),
    "Variable": ("torch.autograd", "Variable"),
    "math": ("math", ""),
    "numpy": ("numpy", ""),
    "torchvision": ("torchvision", ""),
}
"""Name to module, and the name in it, empty for the module itself."""


def import_of(name: str) -> str:
    """The statement that imports a customary name."""
    module, inner = CUSTOMARY[name]
    if inner:
        return f"from {module} import {inner}" + ("" if inner == name else f" as {name}")
    return f"import {module}" + ("" if module == name else f" as {name}")


def names_to_import(text: str) -> tuple[str, ...]:
    """Customary names that the code uses and nowhere defines or imports; none if it is not Python."""
    try:
        whole = symtable.symtable(text, "<loss>", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return ()
    defined = {s.get_name() for s in whole.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {
        s.get_name()
        for table in _tables(whole)
        for s in table.get_symbols()
        if s.is_referenced() and (s.is_global() or table is whole)
    }
    return tuple(name for name in CUSTOMARY if name in used - defined)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def syntax_remedy(line: str, message: str) -> str:
    """What to do about a line that Python cannot read.

    Args:
        line: Its text, without the space around it.
        message: Python's own.
    """
    if line.startswith(("!", "%", "?")) or line.endswith("?"):
        return "Remove the line: it is a command of the notebook, not Python."
    if line.startswith("```"):
        return "Remove the line: it marks code on a page and is not Python."
    if line.startswith((">>>", "In [", "Out[")):
        return "Remove the prompts (>>>, ..., In [1]:) at the beginning of the lines."
    if "non-printable character" in message:
        return "Write an ordinary space, or nothing, in its place: it came along from a page."
    if any(quote in message for quote in "\u201c\u201d\u2018\u2019"):
        return "Write straight quotes: ' or \"."
    if "print" in message and "parentheses" in message:
        return "Write print(...), or remove it: this is Python 2."
    if "unexpected indent" in message:
        return "Begin the line where the line above begins; the first line of all at the margin."
    if "tabs and spaces" in message or "unindent" in message:
        return "Indent all lines with spaces, four a level."
    return "Correct the line; the mistake may be just before it."
