"""The viewers' page."""

from __future__ import annotations

import gradio as gr

from fine_tuner.ui.form.widgets import script_part
from fine_tuner.ui.pages import texts
from fine_tuner.ui.pages.live_panel import live_panel


def build_viewer_page() -> gr.Blocks:
    """Charts, the list of runs, the trial; every part reads."""
    with gr.Blocks(title=texts.APP, analytics_enabled=False, fill_width=True) as page:
        script_part("mountBrand", f"<header><h1>{texts.APP}</h1></header>", elem_id="ft-brand")
        script_part("mountViewer", '<section class="ft-viewer"></section>', elem_id="ft-viewer")
        with gr.Column(elem_id="ft-viewer-live", min_width=0):
            live_panel(base="../", routes="view/", actions=())
        script_part("mountViewerTry", '<section class="ft-viewer-try" hidden></section>', elem_id="ft-viewer-try")
        script_part("mountViewerRuns", '<section class="ft-viewer-runs"></section>', elem_id="ft-viewer-runs")
    return page
