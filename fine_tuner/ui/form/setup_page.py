"""The left side of the page: presets, the sections of the form, the plan in words, Train and the command.

Gradio draws the fields and carries events; ``assets/setup/form.js`` shows the state that every event returns (errors
at the fields, the sections' values, the command), so that an answer holds only what changed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from fine_tuner.config.presets import describe_preset, list_presets, load_preset
from fine_tuner.config.sections.data import SAMPLE_DATA
from fine_tuner.data.readers.set_list import SETS
from fine_tuner.ui.access.roles import require_owner
from fine_tuner.ui.form import sections, texts
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import values_of
from fine_tuner.ui.form.inputs import INPUTS, SECTIONS, Input
from fine_tuner.ui.form.labels import weights_choices
from fine_tuner.ui.form.updates import Entries, FormChange, StartResult, answer, first_answer
from fine_tuner.ui.form.widgets import build_widget, script_part

FIRST_PRESET = "sample"
TEXT_KINDS = ("number", "numbers", "text", "path", "weights_file")  # their events come from assets/setup/form.js
# What a section holds besides its fields: the script's function, the class and the id of its place.
_PARTS = {
    "optim": ("mountFinder", "ft-finder", "ft-finder"),
    "precision": ("mountPrecisions", "ft-measure", "ft-precisions"),
    "run": ("mountBatch", "ft-measure", "ft-batch"),
}
# Adds to the state what only the browser knows: in which field someone is in the middle of typing.
STAMP = "(...values) => (window.FTStamp ? FTStamp(values) : values)"


@dataclass(kw_only=True)
class SetupPage:
    """Components of the set-up and their handlers.

    Attributes:
        allowed: What the page permits.
        weights_of: Entries of the weights enum of a network; empty while the list is not loaded.
        start: Checks settings once more with the data and starts a run.
    """

    allowed: Allowed
    weights_of: Entries
    start: Callable[[Any, str | None], StartResult]
    state: gr.HTML = field(init=False)
    launch: gr.HTML = field(init=False)
    widgets: dict[str, gr.blocks.Block] = field(init=False, default_factory=dict)

    # ------------------------------------------------------------- drawing
    def build(self) -> None:
        """Draw into the surrounding Blocks."""
        settings = load_preset(FIRST_PRESET)
        first = first_answer(settings, allowed=self.allowed)
        values = values_of(settings)
        with gr.Column(elem_id="ft-setup", min_width=0):
            self.state = script_part(
                "mountState",
                '<div class="ft-presets"></div><p class="ft-notice" role="status"></p>',
                value=json.dumps(first.state),
                elem_id="ft-state",
                presets=_preset_cards(),
                fields=[[i.path, i.key, i.elem_id, i.section, i.knob.label] for i in INPUTS],
            )
            with gr.Column(elem_id="ft-sections", min_width=0):
                for section in SECTIONS:
                    self._build_section(section, values, first)
            self.launch = script_part("mountLaunch", '<div class="ft-launch"></div>', value="{}", elem_id="ft-launch")

    def _build_section(self, section: str, values: Mapping[str, Any], first: FormChange) -> None:
        inputs = [i for i in INPUTS if i.section == section]
        rare = [i for i in inputs if i.is_advanced]
        with gr.Accordion(
            sections.title_of(section), open=False, elem_id=f"ft-section-{section}", elem_classes=["ft-section"]
        ):
            for spec in inputs:
                if not spec.is_advanced:
                    self._build_input(spec, values, first)
                if spec.key == "data.path":
                    _build_data_part()
                if spec.key == "data.layout":
                    _build_check_part()
            if section == "loss":
                _build_loss_part(self.allowed)
            if section in _PARTS:
                mount, part, elem_id = _PARTS[section]
                script_part(mount, f'<div class="{part}"></div>', elem_id=elem_id)
            if not rare:
                return
            key = f"more:{section}"
            with gr.Accordion(
                texts.MORE, open=False, visible=key not in first.state["hidden"], elem_classes=["ft-more"]
            ) as more:
                for spec in rare:
                    self._build_input(spec, values, first)
            self.widgets[key] = more

    def _build_input(self, spec: Input, values: Mapping[str, Any], first: FormChange) -> None:
        self.widgets[spec.key] = build_widget(
            spec, values[spec.key], task=values["task"], allowed=self.allowed,
            visible=spec.key not in first.state["hidden"],
            weights=weights_choices(str(values["model.name"]), (), values["model.weights"]),
        )  # fmt: skip

    # ------------------------------------------------------------- events
    def wire(self) -> None:
        """Connect the handlers.

        Values come as the browser sends them: Gradio's own check against the choices knows only those of the page as
        it was built, or of a session that a restart of the app forgets. ``form.read`` checks everything.
        """
        inputs = [self.state, *(self.widgets[i.key] for i in INPUTS)]
        outputs = [self.state, *self.widgets.values()]
        choosing = [self.widgets[spec.key].input for spec in INPUTS if spec.kind not in TEXT_KINDS]
        direct: dict[str, Any] = {  # one request and its answer: Gradio's queue takes half a second
            "js": STAMP, "preprocess": False, "queue": False, "show_progress": "hidden", "api_visibility": "private",
        }  # fmt: skip
        gr.on([self.state.input, *choosing], self.on_change, inputs, outputs, trigger_mode="always_last", **direct)
        self.launch.submit(self.on_train, inputs, [self.launch, self.state], trigger_mode="once", **direct)

    def on_change(self, stamp: str, *shown: Any) -> dict[gr.blocks.Block, Any]:
        """FormChange to any change of the form.

        Inputs: state, every input of the form. Outputs: state, and of the inputs what changed.
        """
        stamped = _stamp(stamp)
        return self._changes(self._answer(stamped, shown, typing=str(stamped.get("typing", ""))))

    def on_train(self, stamp: str, request: gr.Request, *shown: Any) -> dict[gr.blocks.Block, Any]:
        """Check everything and start a run; with anything wrong, nothing is started and the fields say what.

        Inputs: state, every input of the form. Outputs: launch bar (run id or message), state.
        """
        require_owner(request)
        result = self._answer(_stamp(stamp), shown, is_train=True)
        if result.reading.settings is None:
            outcome = StartResult.refused()
        else:
            parent = _stamp(stamp).get("parent")
            outcome = self.start(result.reading.settings, parent if isinstance(parent, str) else None)
        return {self.launch: json.dumps(outcome.to_json()), self.state: json.dumps(result.state)}

    def _answer(
        self, stamp: Mapping[str, Any], shown: tuple[Any, ...], *, typing: str = "", is_train: bool = False
    ) -> FormChange:
        values = {spec.key: value for spec, value in zip(INPUTS, shown, strict=True)}
        about: dict[str, Any] = {"typing": typing, "is_train": is_train}
        return answer(values, stamp, allowed=self.allowed, weights_of=self.weights_of, **about)

    def _changes(self, result: FormChange) -> dict[gr.blocks.Block, Any]:
        updates = {self.widgets[key]: gr.update(**properties) for key, properties in result.updates.items()}
        return {self.state: json.dumps(result.state)} | updates


def _stamp(text: str) -> dict[str, Any]:
    try:
        stamp = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _preset_cards() -> list[dict[str, Any]]:
    """What the page knows of every preset; those with a title of their own come first."""
    named = [name for name in texts.PRESET_TITLES if name in list_presets()]
    return [_preset_card(name) for name in dict.fromkeys([*named, *list_presets()])]


def _preset_card(name: str) -> dict[str, Any]:
    settings = load_preset(name)
    return {
        "name": name,
        "title": texts.PRESET_TITLES.get(name, name.replace("-", " ").capitalize()),
        "hint": texts.PRESET_HINTS.get(name) or describe_preset(name),
        "task": settings.task,
        "is_sample": settings.data.path == SAMPLE_DATA,
    }


def _build_data_part() -> None:
    """Below the path: a zip from the browser, torchvision's sets, and what the path is."""
    shown = ("name", "title", "num_images", "num_classes", "download_mib", "tasks")
    sets = [{key: dataclasses.asdict(spec)[key] for key in shown} for spec in SETS.values()]
    script_part("mountData", '<div class="ft-data"></div>', elem_id="ft-data", sets=sets)


def _build_check_part() -> None:
    """Below task and layout: the check of the data with its findings."""
    script_part("mountCheck", '<div class="ft-check"></div>', elem_id="ft-check")


def _build_loss_part(allowed: Allowed) -> None:
    """Below the fields of Loss: the editor for a loss of one's own with its check, and what a loss does.

    Gradio's editor holds the text; ``loss_code.js`` and ``loss.js`` of ``assets/loss/`` do the rest through
    ``api/loss``. Without permission no editor is there, only the reason.
    """
    if allowed.code:
        with gr.Column(elem_id="ft-loss-code", min_width=0):
            top = script_part("mountLossTop", '<div class="ft-loss-top"></div>', value="", elem_id="ft-loss-top")
            editor = gr.Code(
                language="python",
                label=texts.EDITOR,
                lines=12,
                max_lines=22,
                interactive=True,
                elem_id="ft-loss-editor",
            )
            script_part("mountLossCheck", '<div class="ft-loss-check"></div>', elem_id="ft-loss-check")
        # In the browser alone: the text goes to the script as it is typed, and from it to the editor.
        top.input(None, top, editor, js="(value) => JSON.parse(value).text", api_visibility="private")
        editor.change(None, editor, None, js="(text) => window.FTLoss?.typed(text)", api_visibility="private")
    reason = "" if allowed.code else texts.CODE_NOT_OFFERED
    script_part("mountLossCurve", '<div class="ft-loss-curve"></div>', elem_id="ft-loss-curve", reason=reason)
