"""Labels, ranges and help of the form's inputs in words. Knows no Gradio."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fine_tuner.config.knobs import Field
from fine_tuner.models.source import ABOUT, SOURCE, source_networks
from fine_tuner.ui.form import texts
from fine_tuner.ui.form.form import describe
from fine_tuner.ui.form.inputs import FILE, Input

_PLACEHOLDER_LETTERS = 20  # as many as its field has room for


def label_of(spec: Input) -> str:
    """Label with unit and range: ``Batch size, images (1 to 65,536)``."""
    if spec.kind == "weights_file":
        return texts.WEIGHTS_FILE_LABEL
    knob = spec.knob
    unit = f", {knob.unit}" if knob.unit else ""
    span = range_of(spec.field) if spec.field is not None and spec.kind == "number" else ""
    return knob.label + unit + (f" ({span})" if span else "")


def range_of(field: Field) -> str:
    """The bounds of a number in words: ``1 to 100,000``, ``> 0``, ``0 to < 1``."""
    low, high = field.bounds.get("ge", field.bounds.get("gt")), field.bounds.get("le", field.bounds.get("lt"))
    if low is None and high is None:
        return ""
    if high is None:
        return f"> {low:,g}" if "gt" in field.bounds else f"≥ {low:,g}"
    below = f"< {_plain(high)}" if "lt" in field.bounds else _plain(high)
    if low is None:
        return f"up to {below}"
    return f"{'> ' if 'gt' in field.bounds else ''}{_plain(low)} to {below}"


def _plain(bound: float) -> str:
    return f"{int(bound):,}" if float(bound).is_integer() else f"{bound:g}"


def info_of(spec: Input, value: Any) -> str:
    """The sentence below the label, with a link to the documentation where there is one (Markdown)."""
    if spec.kind == "weights_file":
        return texts.WEIGHTS_FILE_HELP
    if spec.kind == "tag":
        return describe(spec, str(value))
    link = f" [{texts.DOCS}]({spec.knob.link})" if spec.knob.link else ""
    return spec.knob.help + link


def placeholder_of(field: Field | None) -> str | None:
    """What an empty number means, from its help (``"...; empty: never."`` -> ``"(never)"``); None if it may not be.

    In brackets, so that it is not taken for a value; a meaning too long for the field is left to the help.
    """
    if field is None or not field.optional:
        return None
    meaning = re.search(r"\bempty: ([^.;]+)", field.knob.help)
    words = meaning[1] if meaning else texts.EMPTY_MEANS_AUTO
    return f"({words if len(words) <= _PLACEHOLDER_LETTERS else texts.EMPTY})"


def weights_choices(network: str, entries: Sequence[Mapping[str, Any]], current: str) -> list[tuple[str, str]]:
    """(label, value) of the ways to start a network: its weights, the app's own, none, a file.

    Args:
        network: Its name.
        entries: One mapping per entry of the network's weights enum, as the list of networks has them.
        current: The value now chosen, offered even if the list does not know it.
    """
    best = next((_weights_label(e) for e in entries if e.get("is_default")), texts.WEIGHTS_BEST)
    choices = [
        (f"{texts.WEIGHTS_DEFAULT}: {best}", "default"),
        (texts.WEIGHTS_NONE, "none"),
        (texts.WEIGHTS_FILE, FILE),
    ]
    if network in source_networks():
        choices.insert(1, (texts.WEIGHTS_SOURCE.format(about=ABOUT), SOURCE))
    choices[1:1] = [(_weights_label(e), str(e["name"])) for e in entries]
    if current not in {value for _, value in choices}:
        choices.append((current, current))
    return choices


def _weights_label(entry: Mapping[str, Any]) -> str:
    accuracy = entry.get("top1") if entry.get("top1") is not None else entry.get("miou")
    here = texts.WEIGHTS_HERE if entry.get("is_cached") else f"{entry['size_mib']:.3g} MiB to download"
    parts = [str(entry["name"]), "" if accuracy is None else f"{accuracy:.1f} %", here]
    return " · ".join(part for part in parts if part)
