"""The owner's page: header, the set-up beside the live run and the plan, the list of runs, trying a run."""

from __future__ import annotations

import gradio as gr

from fine_tuner.ui.form.setup_page import SetupPage
from fine_tuner.ui.form.widgets import script_part
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.pages import texts
from fine_tuner.ui.pages.live_panel import live_panel
from fine_tuner.ui.pages.try_page import TryPage


def build_owner_page(services: Services) -> gr.Blocks:
    """Everything: set up, train, watch, try."""
    setup = SetupPage(
        allowed=services.allowed, weights_of=services.networks.weights_of, start=services.starter.start
    )  # fmt: skip
    trial = TryPage(store=services.store, questions=services.questions, previews=services.previews)
    with gr.Blocks(title=texts.APP, analytics_enabled=False, fill_width=True) as page:
        script_part("mountBrand", f"<header><h1>{texts.APP}</h1></header>", elem_id="ft-brand")
        with gr.Tabs(elem_id="ft-tabs", overflow_behavior="wrap"):
            with gr.Tab(texts.TAB_TRAIN, id="train", elem_id="ft-tab-train"), gr.Row(elem_id="ft-train"):
                setup.build()
                with gr.Column(elem_id="ft-right", min_width=0):
                    script_part("mountViews", '<nav class="ft-views"></nav>', elem_id="ft-views")
                    live_panel()
                    plan_panel()
            with gr.Tab(texts.TAB_RUNS, id="runs", elem_id="ft-tab-runs"):
                runs_table()
            with gr.Tab(texts.TAB_RESULTS, id="results", elem_id="ft-tab-results"):
                script_part("mountResults", '<section class="ft-results"></section>', elem_id="ft-results")
            with gr.Tab(texts.TAB_TRY, id="try", elem_id="ft-tab-try"):
                trial.build()
            with gr.Tab(texts.TAB_SHARE, id="share", elem_id="ft-tab-share"):
                script_part("mountShare", '<section class="ft-share"></section>', elem_id="ft-share")
        setup.wire()
        trial.wire()
    return page


def plan_panel() -> gr.HTML:
    """What the settings in the form would do; drawn from ``api/plan`` and ``api/preview``."""
    return script_part("mountPlan", '<section class="ft-plan"></section>', elem_id="ft-plan")


def runs_table() -> gr.HTML:
    """All runs; drawn from ``api/runs``."""
    return script_part("mountRuns", '<section class="ft-runs"></section>', elem_id="ft-runs")
