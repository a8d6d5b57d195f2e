"""Trying a run: drop a picture, see what its best checkpoint says of it; download the weights."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from fine_tuner.base.errors import RunError
from fine_tuner.evaluation.predictions import Predictions
from fine_tuner.runs.results import results_of
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.access.roles import require_owner
from fine_tuner.ui.form.widgets import script_part
from fine_tuner.ui.jobs.previews import Previews
from fine_tuner.ui.jobs.questions import Questions
from fine_tuner.ui.pages import texts

EXAMPLES = "val-best"
WAITING = "(run, picture) => JSON.stringify({ isWaiting: Boolean(run && picture) })"


@dataclass(kw_only=True)
class TryPage:
    """Components of the trial and their handler.

    Attributes:
        store: The runs.
        questions: Where predictions are asked.
        previews: Serves what they draw.
    """

    store: RunStore
    questions: Questions
    previews: Previews
    run: gr.HTML = field(init=False)
    picture: gr.Image = field(init=False)
    example: gr.HTML = field(init=False)
    answer: gr.HTML = field(init=False)

    def build(self) -> None:
        """Draw into the surrounding tab. The picture goes to the command as it is: it knows 16 bit and EXIF better."""
        with gr.Row(elem_id="ft-try"):
            with gr.Column(min_width=280):
                self.run = script_part("mountRunChoice", '<div class="ft-run-choice"></div>', elem_id="ft-try-run")
                self.picture = gr.Image(
                    type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"], buttons=[], height=380,
                    label=texts.TRY_PICTURE, elem_id="ft-try-picture",
                )  # fmt: skip
                self.example = script_part(
                    "mountExamples", '<div class="ft-examples"></div>', elem_id="ft-try-examples"
                )
            with gr.Column(min_width=280):
                self.answer = script_part(
                    "mountAnswer", '<section class="ft-answer" aria-live="polite"></section>', value="{}",
                    elem_id="ft-answer",
                )  # fmt: skip

    def wire(self) -> None:
        """Connect the handler; the browser itself says at once that it waits."""
        triggers, inputs = [self.run.input, self.picture.change], [self.run, self.picture]
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        gr.on(triggers, None, inputs, self.answer, js=WAITING, **quiet)
        gr.on(
            triggers, self.on_change, inputs, self.answer, concurrency_id="predict", concurrency_limit=1,
            trigger_mode="always_last", **quiet,
        )  # fmt: skip
        chosen = [self.run, self.example]
        gr.on([self.example.input], None, chosen, self.answer, js=WAITING, **quiet)
        gr.on(
            [self.example.input], self.on_example, chosen, self.answer, concurrency_id="predict", concurrency_limit=1,
            trigger_mode="always_last", **quiet,
        )  # fmt: skip

    def on_example(self, run_id: str | None, example: str | None, request: gr.Request) -> str:
        """What the run says of one of its validation pictures.

        Inputs: run, example. Outputs: answer.
        """
        require_owner(request)
        about = self.about(run_id)
        if about["run"] is None or not str(example or "").isdecimal():
            return json.dumps(about)
        try:
            found = Predictions(results_of(self.store.get(about["run"]), EXAMPLES).predictions)
            picture = Path(found.name(int(example)))
        except (RunError, IndexError):
            return json.dumps(about)
        shown = {"picture": f"api/runs/{about['run']}/results/{EXAMPLES}/picture/{int(example)}?side=large"}
        return json.dumps(about | shown | self.predict(about["run"], picture))

    def on_change(self, run_id: str | None, picture: str | None, request: gr.Request) -> str:
        """What the run says of the picture, or what to do first.

        Inputs: run, picture. Outputs: answer.
        """
        require_owner(request)
        about = self.about(run_id)
        if picture is None or about["run"] is None:
            return json.dumps(about)
        return json.dumps(about | self.predict(about["run"], Path(picture)))

    def about(self, run_id: str | None) -> dict[str, Any]:
        """Where the weights are, or what to do first."""
        try:
            has_weights = bool(run_id) and self.store.get(str(run_id)).best_weights.is_file()
        except RunError:
            has_weights = False
        if not has_weights:
            return {"run": None, "message": texts.TRY_NO_WEIGHTS if run_id else texts.TRY_NO_RUN}
        return {"run": run_id, "weights": f"api/runs/{run_id}/weights", "message": texts.TRY_DROP}

    def predict(self, run_id: str, picture: Path) -> Mapping[str, Any]:
        """The run's answer for one picture, or why there is none."""
        key = secrets.token_hex(10)
        folder = self.previews.folder(key)
        command = ["predict", run_id, str(picture), "--runs", str(self.store.root), "--overlays", str(folder), "--json"]
        answer = self.questions.answer(command, keep=False)  # the best checkpoint changes while the run goes on
        if answer.value is None:
            return {"message": "", "error": " ".join(answer.errors.values()).replace(str(picture), texts.THE_PICTURE)}
        prediction = answer.value["predictions"][0]
        if prediction.get("overlay"):
            self.previews.keep(key, folder)
            prediction = {**prediction, "overlay": f"api/preview/{key}/{Path(prediction['overlay']).name}"}
        return {"message": "", "about": answer.value.get("weights"), "prediction": prediction}
