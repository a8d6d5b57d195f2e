"""Gradio components for the form's inputs: one function from ``Input`` to component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from fine_tuner.ui.form import texts
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.form import offered
from fine_tuner.ui.form.inputs import Input
from fine_tuner.ui.form.labels import info_of, label_of, placeholder_of

PLAIN_TEXT = gr.InputHTMLAttributes(autocapitalize="off", autocorrect="off", spellcheck=False, autocomplete="off")


def build_widget(
    spec: Input, value: Any, *, task: str, allowed: Allowed, visible: bool, weights: Sequence[tuple[str, str]] = ()
) -> gr.components.Component:
    """The component that shows and changes one input.

    Args:
        spec: The input.
        value: What it shows at first, as ``inputs.shown_value`` writes it.
        task: For the variants on offer.
        allowed: Ditto.
        visible: Whether it has an effect with the settings shown at first.
        weights: Choices of the weights' dropdown.
    """
    basic: dict[str, Any] = {"elem_id": spec.elem_id, "visible": visible, "elem_classes": ["ft-field"]}
    common = basic | {"label": label_of(spec), "info": info_of(spec, value), "value": value}
    match spec.kind:
        case "tag":
            return gr.Dropdown(offered(spec, task, allowed), filterable=False, **common)
        case "choice":
            return gr.Dropdown(_choices(spec), filterable=False, **common)
        case "trainable":
            return gr.Dropdown(texts.TRAINABLE_CHOICES, allow_custom_value=True, **common)
        case "weights":
            common["elem_classes"] = ["ft-field", "ft-wide"]
            return gr.Dropdown(list(weights) or [(value, value)], allow_custom_value=True, **common)
        case "flag":
            return gr.Checkbox(**common)
        case "network":
            return network_picker(value, spec, basic)
        case "path" | "weights_file":
            common["elem_classes"] = ["ft-field", "ft-wide", "ft-path"]
            return gr.Textbox(max_lines=1, html_attributes=PLAIN_TEXT, **common)
        case "text":
            common["elem_classes"] = ["ft-field", "ft-wide"]
            return gr.Textbox(max_lines=1, **common)
        case _:
            placeholder = placeholder_of(spec.field)
            return gr.Textbox(max_lines=1, placeholder=placeholder, html_attributes=PLAIN_TEXT, **common)


def script_part(mount: str, html: str, *, value: str | None = None, **properties: Any) -> gr.HTML:
    """A part of the page that a script draws: ``mount`` is what ``assets/page.js`` exports for it.

    The markup never mentions the value, so that Gradio leaves the DOM alone when it changes, and no text of a user's
    gets into a template (templates are code: see gr.HTML).
    """
    return gr.HTML(
        value=value,
        html_template=html,
        apply_default_css=False,
        js_on_load=f"FTPage.then((page) => page.{mount}(element, props, trigger, watch))",
        **properties,
    )


def network_picker(value: str, spec: Input, basic: Mapping[str, Any]) -> gr.HTML:
    """A searchable table of networks whose value is the name chosen; its list comes from ``api/networks``."""
    words = {"picker_label": spec.knob.label, "picker_help": spec.knob.help}
    return script_part("mountPicker", '<div class="ft-picker"></div>', value=value, **words, **basic)


def _choices(spec: Input) -> list[tuple[str, Any]]:
    if spec.field is None:
        return []
    empty = [(texts.EMPTY_MEANS_AUTO, "")] if spec.field.optional else []
    return empty + [(str(c).replace("_", " "), c) for c in spec.field.choices]
