"""What changes on the page when the form changes: one function from what the form shows to what it should show next.

The page sends the state it was last given (a *stamp*) with every event, so the answer holds only what differs and
nothing about a visitor is kept on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fine_tuner.base.errors import ConfigError
from fine_tuner.config.argv import settings_of_argv
from fine_tuner.config.settings import Settings
from fine_tuner.models.source import SOURCE, source_networks
from fine_tuner.ui.form import texts
from fine_tuner.ui.form.code_state import code_state
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import Reading, due_errors, for_task, offered, read, state_of, values_of, with_settings
from fine_tuner.ui.form.inputs import BY_KEY, INPUTS
from fine_tuner.ui.form.labels import info_of, weights_choices

Entries = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FormChange:
    """The form after an event.

    Attributes:
        reading: The settings, or what is wrong.
        state: For the page's script; comes back with the next event.
        updates: Key of an input, or ``more:<section>``, to the properties of its component that change.
    """

    reading: Reading
    state: dict[str, Any]
    updates: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StartResult:
    """What a press of Train led to.

    Attributes:
        run: Id of the run created, or None.
        message: For the user, when there is no run.
        errors: Dotted path of a setting to what the check of data and network found wrong with it.
    """

    run: str | None = None
    message: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def refused(cls, errors: Mapping[str, str] | None = None) -> StartResult:
        """Nothing was started, since fields are wrong."""
        return cls(message=texts.CORRECT_FIRST, errors=errors or {})

    def to_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {"run": self.run, "message": self.message, "errors": dict(self.errors)}


def answer(
    values: Mapping[str, Any],
    stamp: Mapping[str, Any],
    *,
    allowed: Allowed,
    weights_of: Entries,
    typing: str = "",
    is_train: bool = False,
) -> FormChange:
    """Read the form and say what must change on the page.

    Args:
        values: What every input shows.
        stamp: The state last given; and ``load``, an argv to fill the form from, or ``set``, a mapping of dotted paths
            to values to put into it. ``ask`` numbers such a wish; the answer says it as ``asked``. ``event`` numbers
            the events; the answer says it, and in ``filled`` the fields that it gives a value.
        allowed: What the page permits.
        weights_of: Entries of the weights enum of a network, empty while the list is not loaded.
        typing: Element id of the field in which someone is typing; see ``form.due_errors``.
        is_train: Whether Train was pressed.
    """
    changed, notice = _changed(values, stamp, allowed)
    updates: dict[str, dict[str, Any]] = {key: {"value": value} for key, value in changed.items()}
    filled = [BY_KEY[key].elem_id for key, value in changed.items() if values.get(key) != value]
    values = {**values, **changed}
    reading = read(values, allowed)
    is_filled = bool(stamp.get("load")) and not notice  # what a preset leaves open is not the user's error yet
    errors = {} if is_filled else due_errors(reading, stamp, typing=typing, is_train=is_train)
    start = stamp["load"][0] if is_filled else stamp.get("start")
    state = state_of(reading, shown_errors=errors, start=start)
    network = str(values["model.name"])
    entries = weights_of(network)
    state |= {
        "notice": notice,
        "start": start or (state["argv"] or [None])[0],
        "asked": stamp.get("ask"),
        "event": stamp.get("event"),
        "filled": filled,
        "task": values["task"],
        "place": reading.tree["data"]["path"],
        "time": {"minutes": str(values["train.minutes"]), "epochs": str(values["train.epochs"])},
        "network": f"{network}/{len(entries)}",
        "tags": _tags(values),
        "code": code_state(reading),
    }
    if state["task"] != stamp.get("task"):
        for key in state["tags"]:
            _update(updates, key, choices=offered(BY_KEY[key], values["task"], allowed))
    if state["network"] != stamp.get("network"):
        _update(updates, "model.weights", choices=weights_choices(network, entries, values["model.weights"]))
    for key, tag in state["tags"].items():
        if tag != stamp.get("tags", {}).get(key):
            _update(updates, key, info=info_of(BY_KEY[key], tag))
    for key in set(state["hidden"]) ^ set(stamp.get("hidden", ())):
        _update(updates, key, visible=key not in state["hidden"])
    return FormChange(reading=reading, state=state, updates=updates)


def _changed(values: Mapping[str, Any], stamp: Mapping[str, Any], allowed: Allowed) -> tuple[dict[str, Any], str]:
    """Values that the form takes besides what was typed, and a notice if they could not be had."""
    if stamp.get("load"):
        try:
            return values_of(settings_of_argv(stamp["load"])), ""
        except ConfigError as error:
            return {}, texts.NOT_LOADED.format(error=error)
    changed = with_settings(values, stamp["set"]) if isinstance(stamp.get("set"), dict) else {}
    values = {**values, **changed}
    if values["task"] != stamp.get("task"):
        changed |= for_task(values, allowed, before=stamp.get("task", values["task"]))
    values = {**values, **changed}
    if values["model.weights"] == SOURCE and values["model.name"] not in source_networks():
        changed["model.weights"] = "default"  # another network was picked
    return changed, ""


def first_answer(settings: Settings, *, allowed: Allowed) -> FormChange:
    """The form as the page first shows it."""
    return answer(values_of(settings), {}, allowed=allowed, weights_of=lambda _: ())


def _tags(values: Mapping[str, Any]) -> dict[str, str]:
    return {i.key: values[i.key] for i in INPUTS if i.kind == "tag"}


def _update(updates: dict[str, dict[str, Any]], key: str, **properties: Any) -> None:
    updates[key] = updates.get(key, {}) | properties
