"""What is wrong with a setting, where, and what to do, from an error of the validator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from fine_tuner.base.registry import suggest
from fine_tuner.config.knobs import Choice, Field, lookup, walk_choices, walk_fields
from fine_tuner.config.settings import Settings

CHOICES: Mapping[str, Choice] = {choice.path: choice for choice in walk_choices(Settings)}
FIELDS: tuple[Field, ...] = tuple(walk_fields(Settings))
_PATHS = {f.path for f in FIELDS} | {f"{c}.name" for c in CHOICES}
_SECTIONS = {path.partition(".")[0] for path in _PATHS if "." in path}


def folded(name: object) -> str:
    """``name`` without the differences that people do not mean: case, ``_`` and ``-``."""
    return str(name).casefold().replace("_", "").replace("-", "")


def explain(error: ErrorDetails, tree: Mapping[str, Any]) -> tuple[str, str]:
    """Dotted path and message for a person, from one of the validator's errors about ``tree``."""
    path, value, kind = _path(error["loc"]), error["input"], error["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return path, _unknown(path, tree)
    if path in CHOICES:
        return f"{path}.name", _unknown_variant(path, value)
    same = [f for f in FIELDS if f.path == path]
    spec = next((f for f in same if f.variant in error["loc"]), same[0] if same else None)
    if spec is None:
        return path, f"{value!r} is not a group of settings. Write lines like '{_example(path)}'."
    if kind == "value_error":  # a check of ours, which has said it all
        return path, f"{error['ctx']['error']}."
    if spec.type is tuple:
        value = lookup(tree, path)  # the whole list, not the item that the validator complains of
    return path, f"{'nothing' if value is None else repr(value)} is not {_expected(spec)}."


def _path(loc: tuple[int | str, ...]) -> str:
    """Dotted path without the tags and type names that the validator inserts."""
    parts: list[str] = []
    for part in loc:
        prefix = ".".join(parts)
        if prefix in CHOICES and part in CHOICES[prefix].variants:
            continue
        if any(f.path == prefix for f in FIELDS):
            break  # below a field come only the names of the members of its type
        parts.append(str(part))
    return ".".join(parts)


def _example(section: str) -> str:
    return next((f"{f.path}={f.default}" for f in FIELDS if f.path.startswith(section + ".")), "seed: 1")


def _unknown(path: str, tree: Mapping[str, Any]) -> str:
    """Message for a path that no setting has, or that only another variant has."""
    section = path.rpartition(".")[0]
    owners = [f.variant for f in FIELDS if f.path == path and f.variant]
    if owners:
        chosen = lookup(tree, section + ".name") or "the present choice"
        return f"belongs to {', '.join(dict.fromkeys(owners))}, not to {chosen}. Remove it, or change {section}.name."
    return f"unknown setting.{suggest_path(path)}"


def suggest_path(path: str) -> str:
    """A sentence with the known path that a mistyped one probably means, or what is known beside it."""
    section, _, leaf = path.rpartition(".")
    beside = {p.rpartition(".")[2]: p for p in _PATHS if p.rpartition(".")[0] == section}
    if not section:
        beside |= {name: name for name in _SECTIONS}
    hint = suggest(leaf, beside)
    if hint:
        return hint.replace(repr(leaf_meant := hint.split("'")[1]), repr(beside[leaf_meant]))
    return suggest(path, sorted(_PATHS)) or f" Known here: {', '.join(sorted(beside)) or 'no settings'}."


def _unknown_variant(path: str, value: Any) -> str:
    variants = CHOICES[path].variants
    name = value.get("name") if isinstance(value, Mapping) else value
    return f"unknown {path} {name!r}.{suggest(str(name), variants)} Known: {', '.join(variants)}."


def _expected(spec: Field) -> str:
    """What the field takes, in words: ``"a number > 0"``."""
    if spec.choices:
        return f"one of {', '.join(map(str, spec.choices))}"
    if spec.path == "model.trainable":
        return "head, all, gradual, or a number of stages >= 1"
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = " and ".join(f"{signs[k]} {v:g}" for k, v in spec.bounds.items())
    nouns = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if spec.type is tuple:
        noun = f"a list of {nouns[spec.item_type].removeprefix('a ')}s"
        example = f", such as {list(spec.default)}" if spec.default else ""
    else:
        noun, example = nouns[spec.type], ""
    return f"{noun} {bounds}".strip() + example + (", or empty" if spec.optional else "")
