"""A user's loss as text: reading the file, its hash, its lines, and the findings that point at them. No torch here."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from fine_tuner.base.errors import InputError

MAX_BYTES = 1_000_000
Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossFinding:
    """One thing that the check says about a user's loss.

    Attributes:
        level: An error keeps Train from starting; a warning and a note do not.
        kind: One word for programs, such as ``"detached"``; stable.
        what: What is wrong, with the value.
        remedy: What to do.
        line: Line of the user's file, from 1; None where no line is to blame.
        source: The text of that line.
        file: Name of the user's file.
    """

    level: Level
    kind: str
    what: str
    remedy: str
    line: int | None = None
    source: str = ""
    file: str = ""

    @property
    def text(self) -> str:
        """The whole message: where, what, what to do."""
        where = f"{self.file}, line {self.line} `{self.source}`: " if self.line else f"{self.file}: "
        return f"{where}{self.what}. {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """The fields and ``text``, for a report."""
        return dataclasses.asdict(self) | {"text": self.text}


class LossCodeError(InputError):
    """A user's loss cannot be used; ``finding`` says what, where and what to do."""

    def __init__(self, finding: LossFinding) -> None:
        self.finding = finding
        super().__init__(finding.text)


@dataclass(frozen=True, slots=True)
class LossCode:
    """The text of a user's file as it was read.

    Attributes:
        sha256: Of the text in UTF-8, in hex; names the code in a run. A run's copy has the same.
    """

    path: Path
    text: str
    sha256: str

    def source(self, line: int | None) -> str:
        """The text of a line, from 1, without indentation; empty if there is none."""
        lines = self.text.splitlines()
        return lines[line - 1].strip()[:120] if line and 0 < line <= len(lines) else ""

    def finding(self, level: Level, kind: str, what: str, remedy: str, line: int | None = None) -> LossFinding:
        """A finding about this file."""
        return LossFinding(
            level=level, kind=kind, what=what, remedy=remedy, line=line, source=self.source(line), file=self.path.name
        )

    def error(self, kind: str, what: str, remedy: str, line: int | None = None) -> LossCodeError:
        """The finding as an exception."""
        return LossCodeError(self.finding("error", kind, what, remedy, line))

    def line_of(self, trace: TracebackType | None) -> int | None:
        """The innermost line of this file in a traceback."""
        frames = [f for f in traceback.extract_tb(trace) if f.filename == str(self.path)]
        return frames[-1].lineno if frames else None

    def calls(self, *names: str) -> list[int]:
        """Lines that call something written as one of ``names``, such as ``"os._exit"``."""
        try:
            tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError):
            return []
        return [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in names]

    def definition(self, name: str) -> ast.FunctionDef | ast.ClassDef | None:
        """The function or class of that name."""
        nodes = ast.walk(ast.parse(self.text))
        return next((n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name), None)

    def last_return(self, entry: str) -> int | None:
        """Line of the last ``return`` of a function, or of a class's ``forward``; of its ``def`` if it has none."""
        node = self.definition(entry)
        if isinstance(node, ast.ClassDef):
            called = ("forward", "__call__")
            node = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name in called), None)
        if node is None:
            return None
        return max((n.lineno for n in ast.walk(node) if isinstance(n, ast.Return)), default=node.lineno)


def read_code(file: str | Path) -> LossCode:
    """Read a user's file.

    Raises:
        LossCodeError: If it is missing, too large, empty or not text.
    """
    path = Path(file).expanduser()
    code = LossCode(path, "", "")
    remedy = "Give the path of a Python file that defines the loss."
    if str(file).strip() in ("", "."):
        raise code.error("missing", "no file is named", remedy)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise code.error("missing", f"the file {path} cannot be read ({error.strerror})", remedy) from None
    if len(data) > MAX_BYTES:
        raise code.error(
            "too_large", f"the file has {len(data):,} bytes", f"Keep a loss below {MAX_BYTES:,} bytes of code."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise code.error("not_text", f"byte {error.start} is not UTF-8", "Save the file as UTF-8 text.") from None
    if not text.strip():
        raise code.error("empty", "the file is empty", "Write a function my_loss(output, target), or use a template.")
    return LossCode(path.resolve(), text, hashlib.sha256(text.encode()).hexdigest())


def first_sentence(error: BaseException) -> str:
    """Type and first line of an exception, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
