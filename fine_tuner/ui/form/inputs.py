"""The form's inputs, one per widget, made from the settings tree; how a setting is written into a widget and read back.

Knows no Gradio: ``ui/form/widgets.py`` draws these. A setting has one input, with three exceptions: the tag of a choice
(``loss.name``) has one of its own, a field that only some variants have gets one per variant (key ``optim.eps@Adam``),
and the weights have a second one for the file's path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fine_tuner.base.pasted_path import cleaned_path
from fine_tuner.config.io import CHOICES, FIELDS
from fine_tuner.config.knobs import Choice, Field, Knob, lookup
from fine_tuner.ui.form import sections

Kind = Literal[
    "tag", "choice", "flag", "number", "numbers", "text", "path", "network", "weights", "weights_file", "trainable"
]
_WIDGETS: Mapping[str, Kind] = {
    "path": "path", "model": "network", "weights": "weights", "trainable": "trainable",
}  # fmt: skip
FILE = "file"  # the weights' dropdown says "from a file"; the path is in the input beside it
_ENUM_NAME = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One widget.

    Attributes:
        key: Unique; the dotted path, with ``@variant`` or ``#file`` where the path alone is not.
        path: Dotted path of the setting that it writes.
        variant: Tag of the variant that must be chosen for the input to exist; None if it always does.
        choice: The choice whose tag this is, or None.
        field: The setting; None for a tag.
    """

    key: str
    path: str
    kind: Kind
    section: str
    variant: str | None = None
    choice: Choice | None = None
    field: Field | None = None

    @property
    def elem_id(self) -> str:
        """The widget's id in the page."""
        return "ft-" + re.sub(r"[^A-Za-z0-9]+", "-", self.key)

    @property
    def knob(self) -> Knob:
        """Label and help; a tag takes those of its section."""
        if self.field is not None:
            return self.field.knob
        return Knob(label=sections.title_of(self.path.removesuffix(".name")), help="")

    @property
    def is_advanced(self) -> bool:
        """Whether it sits behind "More"."""
        return self.knob.advanced

    def is_active(self, tree: Mapping[str, Any]) -> bool:
        """Whether the setting exists in ``tree``: its variant is the one chosen."""
        return self.variant is None or lookup(tree, self.path.rpartition(".")[0] + ".name") == self.variant

    def is_shown(self, tree: Mapping[str, Any]) -> bool:
        """Whether the setting exists and has an effect in ``tree``."""
        return self.is_active(tree) and self.knob.applies(tree)


def _kind(field: Field) -> Kind:
    if field.knob.widget in _WIDGETS:
        return _WIDGETS[field.knob.widget]
    if field.choices:
        return "choice"
    kinds: Mapping[type, Kind] = {bool: "flag", int: "number", float: "number", tuple: "numbers"}
    return kinds.get(field.type, "text")


def _walk() -> Iterator[Input]:
    seen: set[str] = set()
    for field in FIELDS:
        parent = field.path.rpartition(".")[0]
        if parent in CHOICES and parent not in seen:
            seen.add(parent)
            tag = f"{parent}.name"
            yield Input(key=tag, path=tag, kind="tag", section=sections.section_of(tag), choice=CHOICES[parent])
        variant = None if field.shared else field.variant
        key = field.path + (f"@{variant}" if variant else "")
        if key in seen:
            continue  # inherited by every variant: one input serves all
        seen.add(key)
        kind, section = _kind(field), sections.section_of(field.path)
        yield Input(key=key, path=field.path, kind=kind, section=section, variant=variant, field=field)
        if kind == "weights":
            yield Input(key=f"{key}#file", path=field.path, kind="weights_file", section=section, field=field)


def _by_section() -> tuple[Input, ...]:
    """All inputs in the order of the sections, each section in the order of its prefixes, then of the tree."""
    found = list(_walk())
    order = [*sections.PREFIXES, *dict.fromkeys(i.section for i in found)]
    return tuple(sorted(found, key=lambda i: (order.index(i.section), sections.rank_of(i.path))))


INPUTS: tuple[Input, ...] = _by_section()
BY_KEY: Mapping[str, Input] = {i.key: i for i in INPUTS}
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(i.section for i in INPUTS))


# ------------------------------------------------------ a setting as a widget shows it
def shown_value(spec: Input, value: Any) -> Any:
    """What the widget of ``spec`` shows for a setting's ``value``; ``parsed_value`` is the inverse."""
    match spec.kind:
        case "tag" | "flag":
            return value
        case "choice":
            return "" if value is None else value
        case "number":
            return "" if value is None else number_text(value, log_scale=spec.knob.log_scale)
        case "numbers":
            return "" if value is None else ", ".join(v if isinstance(v, str) else number_text(v) for v in value)
        case "weights":
            return FILE if is_weights_file(value) else value
        case "weights_file":
            return value if is_weights_file(value) else ""
        case _:
            return "" if value is None else str(value)


def number_text(value: float, *, log_scale: bool = False) -> str:
    """The shortest text that reads back as ``value``; ``3e-3`` rather than ``0.003`` on a log scale."""
    if isinstance(value, int):
        return str(value)
    text = repr(value).removesuffix(".0")
    mantissa, _, exponent = f"{value:e}".partition("e")
    scientific = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if float(scientific) == value and ("e" in text or (log_scale and value != 0 and abs(value) < 0.01)):
        return scientific
    return text


def is_weights_file(value: Any) -> bool:
    """Whether ``model.weights`` names a file rather than an entry of a weights enum."""
    return not _ENUM_NAME.fullmatch(str(value))


# ----------------------------------------------------------------- and back
def parsed_value(spec: Input, shown: Any) -> Any:
    """The setting's value from what the widget shows; text that is no number stays text, for the check to refuse."""
    optional = spec.field is not None and spec.field.optional
    if spec.field is not None and spec.field.item_type is str:  # may well be an empty list
        return re.split(r"[,;\s]+", str(shown).strip("[]() \t")) if str(shown).strip("[]() \t") else []
    if isinstance(shown, str) and not shown.strip() and (optional or spec.kind in ("number", "numbers")):
        return None
    match spec.kind:
        case "number":
            return _number(shown)
        case "numbers":
            return [_number(part) for part in re.split(r"[,;\s]+", str(shown).strip("[]() \t"))]
        case "trainable":
            text = str(shown).strip()
            return int(text) if text.isdigit() else text
        case "path" | "weights_file":
            return cleaned_path(str(shown or ""))
        case "network":
            return str(shown or "").strip()
        case "text":
            return "" if shown is None else str(shown)
        case _:
            return shown


def _number(shown: Any) -> Any:
    text = str(shown).strip()
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
        return text
    value = float(text)
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else int(value) if value.is_integer() else value
