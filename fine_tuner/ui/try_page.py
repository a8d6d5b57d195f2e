"""Trying a run: drop a picture, see what its best checkpoint says of it; download the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from fine_tuner.errors import RunError
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore
from fine_tuner.ui import texts
from fine_tuner.ui.plans import Questions
from fine_tuner.ui.roles import require_owner
from fine_tuner.ui.widgets import script_part

MOST_RUNS = 200
SHOWN_RUN = "(run) => [window.FTLive?.current() ?? run]"  # the run on view on the first tab, unless there is none


@dataclass(kw_only=True)
class TryPage:
    """Components of the trial and their handlers.

    Attributes:
        store: The runs.
        questions: Where predictions are asked.
    """

    store: RunStore
    questions: Questions
    run: gr.Dropdown = field(init=False)
    picture: gr.Image = field(init=False)
    answer: gr.HTML = field(init=False)

    def build(self) -> None:
        """Draw into the surrounding tab."""
        with gr.Row(elem_id="ft-try"):
            with gr.Column(min_width=280):
                self.run = gr.Dropdown([], label=texts.TRY_RUN, info=texts.TRY_RUN_HELP, elem_id="ft-try-run")
                self.picture = gr.Image(
                    type="filepath", image_mode=None, sources=["upload", "clipboard"], buttons=[], height=360,
                    label=texts.TRY_PICTURE, elem_id="ft-try-picture",
                )  # fmt: skip
            with gr.Column(min_width=280):
                self.answer = script_part(
                    "mountAnswer", '<section class="ft-answer" aria-live="polite"></section>', value="{}",
                    elem_id="ft-answer",
                )  # fmt: skip

    def wire(self, tab: gr.Tab) -> None:
        """Connect the handlers; ``tab`` is the one this page is on."""
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        tab.select(self.on_open, self.run, [self.run, self.answer], js=SHOWN_RUN, queue=False, **quiet)
        gr.on(
            [self.run.input, self.picture.change], self.on_picture, [self.run, self.picture], self.answer,
            concurrency_id="predict", concurrency_limit=1, trigger_mode="always_last", api_visibility="private",
            show_progress="full", show_progress_on=self.answer,
        )  # fmt: skip

    def on_open(self, run_id: str | None) -> tuple[Any, str]:
        """Offer the runs that have weights; the one on view first.

        Inputs: run chosen, or on view. Outputs: run dropdown, answer.
        """
        choices = self.choices()
        ids = [value for _, value in choices]
        chosen = run_id if run_id in ids else ids[0] if ids else None
        return gr.update(choices=choices, value=chosen), json.dumps(self.about(chosen))

    def on_picture(self, run_id: str | None, picture: str | None, request: gr.Request) -> str:
        """What the run says of the picture.

        Inputs: run dropdown, picture. Outputs: answer.
        """
        require_owner(request)
        return json.dumps(self.about(run_id) | (self.predict(run_id, Path(picture)) if picture and run_id else {}))

    def choices(self) -> list[tuple[str, str]]:
        """(label, id) of the runs that have weights, newest first."""
        found = []
        for line in self.store.list():
            if RunFolder(self.store.root / line.id).best_weights.is_file():
                best = f" · {line.text}" if line.best_value is not None else ""
                found.append((f"{line.title}{best}", line.id))
            if len(found) == MOST_RUNS:
                break
        return found

    def about(self, run_id: str | None) -> dict[str, Any]:
        """Where the weights are, or what to do first."""
        try:
            has_weights = run_id is not None and self.store.get(run_id).best_weights.is_file()
        except RunError:
            has_weights = False
        if not has_weights:
            return {"run": None, "message": texts.TRY_NO_RUN}
        return {"run": run_id, "weights": f"api/runs/{run_id}/weights", "message": texts.TRY_DROP}

    def predict(self, run_id: str, picture: Path) -> Mapping[str, Any]:
        """The run's answer for one picture, or why there is none."""
        command = ["predict", run_id, str(picture), "--runs", str(self.store.root), "--json"]
        answer = self.questions.answer(command, keep=False)
        if answer.value is None:
            return {"message": "", "error": " ".join(answer.errors.values()).replace(str(picture), texts.THE_PICTURE)}
        return {"message": "", "about": answer.value.get("weights"), "prediction": answer.value["predictions"][0]}
