"""The Loss section below its fields: the editor for a loss of one's own with its check, and what a loss does.

Gradio's editor holds the text; ``loss_code.js`` and ``loss.js`` of ``assets/loss/`` do the rest through ``api/loss``.
"""

from __future__ import annotations

import gradio as gr

from fine_tuner.ui.form import texts
from fine_tuner.ui.form.folders import Allowed
from fine_tuner.ui.form.widgets import script_part


def build_loss_part(allowed: Allowed) -> None:
    """Draw into the surrounding Blocks; without permission no editor is there, only the reason."""
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
    script_part("mountLossCurve", '<div class="ft-loss-curve"></div>', elem_id="ft-loss-curve", reason=_reason(allowed))


def _reason(allowed: Allowed) -> str:
    return "" if allowed.code else texts.CODE_NOT_OFFERED
