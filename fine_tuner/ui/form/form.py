"""The form's values to settings and back, its errors at the field, the command it stands for, and what it shows.

Knows no Gradio. ``values`` is a mapping from ``Input.key`` to what the widget shows; nothing else about the form is
kept anywhere, so every function here is a function of its arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import argv_of, check_argv, command_of
from fine_tuner.config.io import CHOICES, parse, to_tree
from fine_tuner.config.knobs import lookup
from fine_tuner.config.sections.losses import CUSTOM
from fine_tuner.config.settings import Settings
from fine_tuner.config.tasks import TASK_SPECS
from fine_tuner.ui.form import sections, texts
from fine_tuner.ui.form.folders import Allowed, path_errors
from fine_tuner.ui.form.inputs import BY_KEY, FILE, INPUTS, SECTIONS, Input, parsed_value, shown_value

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the form says.

    Attributes:
        tree: As read, wrong values included.
        settings: None while anything is wrong.
        errors: Key of each wrong input to its message.
    """

    tree: Mapping[str, Any]
    settings: Settings | None
    errors: Mapping[str, str]


# ------------------------------------------------------------------ settings -> form
def values_of(settings: Settings) -> dict[str, Any]:
    """What every input shows for ``settings``; inputs of variants not chosen show their defaults."""
    tree = to_tree(settings)
    values = {}
    for spec in INPUTS:
        active = spec.field is None or spec.is_active(tree)
        value = lookup(tree, spec.path) if active else _plain(spec.field.default)
        values[spec.key] = shown_value(spec, value)
    return values


def _plain(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


# ------------------------------------------------------------------ form -> settings
def tree_of(values: Values) -> dict[str, Any]:
    """The tree that the form writes: every setting that exists for the variants chosen, wrong values as typed."""
    tree: dict[str, Any] = {}
    for spec in (i for i in INPUTS if i.kind == "tag"):
        _put(tree, spec.path, values[spec.key])
    for spec in INPUTS:
        if spec.kind in ("tag", "weights_file") or not spec.is_active(tree):
            continue
        source = BY_KEY[f"{spec.key}#file"] if spec.kind == "weights" and values[spec.key] == FILE else spec
        _put(tree, spec.path, parsed_value(source, values[source.key]))
    return tree


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for key in parents:
        tree = tree.setdefault(key, {})
    tree[leaf] = value


def read(values: Values, allowed: Allowed) -> Reading:
    """Settings, or the message for each input that is wrong.

    A wrong value in a field that has no effect at present is not held against the user: its default is taken.
    """
    tree = tree_of(values)
    settings, wrong = None, path_errors(tree, allowed)
    try:
        try:
            settings = parse(tree)
        except ConfigError as error:
            settings = parse(_without_hidden(tree, error))
    except ConfigError as error:
        wrong |= error.fields
    errors = {_key_of(path, tree): message for path, message in wrong.items()}
    return Reading(tree=tree, settings=None if errors else settings, errors=errors)


def _without_hidden(tree: dict[str, Any], error: ConfigError) -> dict[str, Any]:
    """``tree`` with the defaults of the fields that ``error`` names and that are not shown."""
    out = json.loads(json.dumps(tree))
    for spec in INPUTS:
        if spec.field is not None and spec.path in error.fields and spec.is_active(tree) and not spec.is_shown(tree):
            _put(out, spec.path, _plain(spec.field.default))
    return out


def _key_of(path: str, tree: Mapping[str, Any]) -> str:
    """Key of the input that shows an error of the setting at ``path``; the path itself if there is none."""
    if path == "model.weights" and f"{path}#file" in BY_KEY and lookup(tree, path) not in ("default", "none"):
        return f"{path}#file" if _names_file(tree) else path
    return next((i.key for i in INPUTS if i.path == path and i.is_active(tree)), path)


def _names_file(tree: Mapping[str, Any]) -> bool:
    return shown_value(BY_KEY["model.weights"], lookup(tree, "model.weights")) == FILE


# ------------------------------------------------------------------ what is offered and shown
def hidden_keys(tree: Mapping[str, Any]) -> frozenset[str]:
    """Keys of the inputs without effect at present, and ``more:<section>`` for a "More" with nothing to show."""
    hidden = {i.key for i in INPUTS if not i.is_shown(tree)}
    if not _names_file(tree):
        hidden.add("model.weights#file")
    for section in SECTIONS:
        rare = [i.key for i in INPUTS if i.section == section and i.is_advanced]
        if rare and hidden.issuperset(rare):
            hidden.add(f"more:{section}")
    return frozenset(hidden)


def offered(spec: Input, task: str, allowed: Allowed) -> list[tuple[str, str]]:
    """(label, tag) of the variants of a choice that make sense for ``task``."""
    if spec.choice is None:
        raise ValueError(f"{spec.key} is not a choice between variants")
    return [
        (tag.replace("_", " "), tag)
        for tag, variant in spec.choice.variants.items()
        if task in getattr(variant, "tasks", (task,)) and (tag != CUSTOM or allowed.code)
    ]


def describe(spec: Input, tag: str) -> str:
    """One sentence about the variant of a choice, with its formula where it has one."""
    if spec.choice is None or tag not in spec.choice.variants:
        return ""
    variant = spec.choice.variants[tag]
    formula = getattr(variant, "formula", "")
    first_line = (variant.__doc__ or "").strip().partition("\n")[0]
    return f"{first_line} `{formula}`" if formula and formula != "yours" else first_line


def with_settings(values: Values, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values that must change for the settings at some dotted paths to be these; those without an input are ignored."""
    tree = tree_of(values)
    changes = {}
    for path, value in settings.items():
        spec = BY_KEY.get(_key_of(path, tree))
        if spec is not None:
            changes[spec.key] = shown_value(spec, value)
    return changes


def for_task(values: Values, allowed: Allowed, *, before: str) -> dict[str, Any]:
    """Values that must change because the task has.

    A choice without meaning for it goes to the first offered, the task's own loss to that of the other task, and a
    network that cannot serve it to one that can.
    """
    changes: dict[str, Any] = {}
    now, then = TASK_SPECS[values["task"]], TASK_SPECS[before]
    if now.default_network != then.default_network:
        changes["model.name"] = now.default_network or BY_KEY["model.name"].field.default
        if values["model.weights"] not in ("default", "none"):
            changes["model.weights"] = "default"
    if values["loss.name"] == then.default_loss:
        changes["loss.name"] = now.default_loss
    for path in CHOICES:
        spec = BY_KEY[f"{path}.name"]
        tags = [tag for _, tag in offered(spec, values["task"], allowed)]
        if changes.get(spec.key, values[spec.key]) not in tags:
            changes[spec.key] = tags[0]
    return changes


# ------------------------------------------------------------------ the state of the page
def state_of(reading: Reading, *, shown_errors: Mapping[str, str], start: str | None = None) -> dict[str, Any]:
    """What the page's script shows: errors by element id, the sections' values, the command.

    Args:
        reading: The form as read.
        shown_errors: Those of its errors that are due: an error in a field still being typed in is not.
        start: The preset that the form was filled from: the command starts from it, whatever is changed since.
    """
    argv = argv_of(reading.settings, start) if reading.settings else None
    sections_with_errors = {BY_KEY[key].section for key in shown_errors if key in BY_KEY}
    valid = _valid_tree(reading)
    return {
        "errors": {BY_KEY[k].elem_id if k in BY_KEY else k: message for k, message in shown_errors.items()},
        "keys": sorted(shown_errors),
        "sections": {s: "" if s in sections_with_errors else sections.summary(s, valid) for s in SECTIONS},
        "wrong": sorted(sections_with_errors),
        "argv": argv,
        "command": command_of(argv) if argv else None,
        "check": check_argv(reading.settings) if reading.settings else None,
        "hidden": sorted(hidden_keys(reading.tree)),
    }


def _valid_tree(reading: Reading) -> Mapping[str, Any]:
    return to_tree(reading.settings) if reading.settings else reading.tree


def due_errors(
    reading: Reading, previous: Mapping[str, Any], *, typing: str = "", is_train: bool = False
) -> dict[str, str]:
    """Errors to show: all, but of some fields only one that was shown already.

    These are the field being typed in and, until Train is pressed, an empty file of code: who has just chosen to bring
    a loss is about to write it.

    Args:
        reading: The form.
        previous: State last given.
        typing: Element id of the field in which someone is in the middle of typing, if anyone is.
        is_train: Whether Train was pressed.
    """
    before = set(previous.get("keys", ()))
    typed = {spec.key for spec in INPUTS if spec.elem_id == typing}
    awaited = {key for key, message in reading.errors.items() if message == texts.EMPTY_FILE and not is_train}
    waits = (typed | awaited) - before
    return {key: message for key, message in reading.errors.items() if key not in waits}
