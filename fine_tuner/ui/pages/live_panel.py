"""The live panel's place on the page, and a chart's that Python draws; the routes that they ask are in ``api/live.py``.

Nothing of a run passes through Gradio: the panel's template is a fixed text, and what is drawn comes as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from fine_tuner.config.live_changes import live_settings
from fine_tuner.config.metric_specs import metric_table
from fine_tuner.ui import static

ACTIONS = ("stop", "pause", "resume", "set", "checkpoint", "evaluate", "extend", "clone", "export")


def live_panel(
    *, base: str = "", routes: str = "", actions: Sequence[str] = ACTIONS, elem_id: str = "ft-live"
) -> gr.HTML:
    """The panel that follows one run: status, progress, charts, events, table.

    A page has one. It shows the run named by ``?run=`` in the address, else the newest; scripts of the page reach it
    as ``window.FTLive`` (see ``assets/live/live.js``).

    Args:
        base: From the page's address to the app's root: ``"../"`` for a page mounted at ``/view``.
        routes: What comes before ``api/`` in the addresses of the routes that it asks, from the app's root.
        actions: Which buttons it has; none for a page that only reads, and shows no pictures of the data.
        elem_id: Id of the element on the page.
    """
    return gr.HTML(
        html_template='<div class="ft-live"></div>',
        js_on_load=_script("live.mount(element, props)"),
        apply_default_css=False,
        elem_id=elem_id,
        base=base,
        routes=routes,
        address=static.address_of("live/live.js"),
        actions=list(actions),
        metrics=metric_table(),
        changes=live_settings(),
        pictures=bool(actions),
    )


def _script(call: str) -> str:
    """JavaScript that loads the panel's module, once for all parts of the page, and calls it."""
    return f"import(new URL(props.base + props.address, window.gradio_config.root + '/')).then((live) => {call});"
