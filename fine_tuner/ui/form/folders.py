"""Which places of this machine the page may name, and what is wrong with a path that it was given.

A path is resolved, links included, before it is compared with the allowed roots. Missing and forbidden get the same
message, so that the page is no oracle for what exists elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tuner.base.pasted_path import refusal_of_windows_path
from fine_tuner.config.io import CHOICES, FIELDS
from fine_tuner.config.knobs import lookup
from fine_tuner.config.sections.losses import CUSTOM
from fine_tuner.ui.form import texts
from fine_tuner.ui.form.inputs import is_weights_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """What this instance of the page permits.

    Attributes:
        roots: Resolved folders; a path given on the page must lie below one of them.
        code: A loss of the user's own code may be used.
    """

    roots: tuple[Path, ...]
    code: bool = True

    @property
    def why_no_code(self) -> str:
        """Why the user's own code is not taken; empty where it is."""
        return "" if self.code else texts.CODE_NOT_ALLOWED

    def nowhere(self, path: str) -> str:
        """The words for a path that is missing or outside of the roots."""
        return texts.NOT_BELOW_ROOTS.format(path=path, roots=", ".join(map(str, self.roots)) or "any allowed folder")


def resolve_roots(folders: Iterable[str | Path]) -> tuple[Path, ...]:
    """Absolute, link-free folders, each once; those that do not exist are left out."""
    found = (Path(f).expanduser().resolve() for f in folders)
    return tuple(dict.fromkeys(f for f in found if f.is_dir()))


def find_below(text: str, roots: tuple[Path, ...]) -> Path | None:
    """The file or folder that ``text`` names, resolved; None if it is missing or outside of ``roots``."""
    try:
        path = Path(text).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # missing, a loop of links, no such user, a null byte
        return None
    return path if any(path.is_relative_to(root) for root in roots) else None


def list_folders(text: str, roots: tuple[Path, ...], *, limit: int = 500) -> tuple[str, list[str]] | None:
    """A folder below the roots and the names of its folders, for browsing; None if there is no such folder.

    Hidden folders and links that lead out of the roots are left out.
    """
    folder = find_below(text, roots)
    if folder is None or not folder.is_dir():
        return None
    names = []
    try:
        for entry in folder.iterdir():
            if not entry.name.startswith(".") and entry.is_dir() and find_below(str(entry), roots):
                names.append(entry.name)
            if len(names) >= limit:
                break
    except OSError:
        return None
    return str(folder), sorted(names, key=str.casefold)


def path_errors(tree: Mapping[str, Any], allowed: Allowed) -> dict[str, str]:
    """Dotted path to message of every setting of ``tree`` that names a place it may not, or that is missing."""
    errors: dict[str, str] = {}
    for path in (f.path for f in FIELDS if f.knob.widget == "path" and _is_active(f.variant, f.path, tree)):
        text = str(lookup(tree, path) or "")
        if not text:
            errors[path] = texts.EMPTY_PATH if path == "data.path" else texts.EMPTY_FILE
        elif place := _place_named(path, text):
            errors |= _missing(path, place, allowed)
    colours = str(lookup(tree, "data.colour_table") or "")
    if colours and (Path(colours).is_absolute() or colours.startswith("~") or ".." in Path(colours).parts):
        errors |= _missing("data.colour_table", colours, allowed)  # a mere name is looked for beside the data
    if decisions := str(lookup(tree, "data.decisions") or ""):
        errors |= _missing("data.decisions", decisions, allowed)
    weights = str(lookup(tree, "model.weights"))
    if is_weights_file(weights):
        errors |= _missing("model.weights", weights, allowed) if weights else {"model.weights": texts.NO_WEIGHTS_FILE}
    for path in CHOICES:
        if lookup(tree, f"{path}.name") == CUSTOM and not allowed.code:
            errors[f"{path}.name"] = allowed.why_no_code
    return errors


def _is_active(variant: str | None, path: str, tree: Mapping[str, Any]) -> bool:
    return variant is None or lookup(tree, path.rpartition(".")[0] + ".name") == variant


def _place_named(path: str, text: str) -> str:
    """The file or folder that a setting names; empty for data that the app makes or finds (``builtin:sample``).

    ``torchvision:CIFAR10@folder`` names the folder that holds the data set, or is to hold it.
    """
    kind, _, rest = text.partition(":")
    if path == "data.path" and kind in ("builtin", "torchvision"):
        return rest.partition("@")[2]
    return text


def _missing(path: str, text: str, allowed: Allowed) -> dict[str, str]:
    if find_below(text, allowed.roots) is not None:
        return {}
    return {path: refusal_of_windows_path(text) or allowed.nowhere(text)}
