"""What a run said of a few validation pictures at each validation, for the page; all of it read from the run's folder.

==================================================  ====================================================================
``GET api/runs/ID/examples``                        what is shown, and which validations there are; {}: none yet
``GET api/runs/ID/examples/pictures``               the pictures side by side, a JPEG
``GET api/runs/ID/examples/NAME``                   what was said at a validation
``GET api/runs/ID/examples/NAME/WHAT``              masks at a validation, a PNG like it: true, said or errors
==================================================  ====================================================================
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from fine_tuner.base.errors import RunError
from fine_tuner.base.files import MAX_JSON_BYTES, read_bounded
from fine_tuner.data.mask_coding import legend
from fine_tuner.evaluation.layers import draw_layer, read_mask
from fine_tuner.runs.examples import Examples, ExampleValidation
from fine_tuner.runs.store import RunStore
from fine_tuner.ui.api import texts
from fine_tuner.ui.api.answers import KEEP, json_answer

MAX_PICTURE_BYTES = 64 << 20


class ExampleRoutes:
    """The routes, on the runs; the guard lets only the owner reach them."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def router(self) -> APIRouter:
        """All of them; goes before the routes of runs, which take any action."""
        router = APIRouter(prefix="/api/runs/{run_id}/examples")
        router.get("")(self.about)
        router.get("/pictures")(self.pictures)
        router.get("/{name}")(self.said)
        router.get("/{name}/{what}")(self.layer)
        return router

    def about(self, run_id: str, request: Request) -> Response:
        """What is shown, without the numbers of each validation."""
        examples = self._examples(run_id)
        about = examples.read()
        if about is None:
            return json_answer(request, {})
        told = {
            "validations": [_line(examples, validation) for validation in examples.validations()],
            "legend": legend(about["names"]) if about["kind"] == "mask" else [],
            "made": examples.about.stat().st_mtime,
        }
        return json_answer(request, about | told)

    def pictures(self, run_id: str) -> Response:
        """The address carries when they were made."""
        try:
            data = read_bounded(self._examples(run_id).pictures, MAX_PICTURE_BYTES)
        except OSError:
            raise HTTPException(404, texts.NO_EXAMPLES) from None
        return Response(data, 200, KEEP, "image/jpeg")

    def said(self, run_id: str, name: str, request: Request) -> Response:
        """Of each picture."""
        examples, validation = self._find(run_id, name)
        try:
            return json_answer(request, read_bounded(examples.said(validation), MAX_JSON_BYTES))
        except OSError:
            raise HTTPException(404, texts.NO_EXAMPLES) from None

    def layer(self, run_id: str, name: str, what: Literal["true", "said", "errors"]) -> Response:
        """Clear where nothing is to be shown; the address carries when the validation was."""
        examples, validation = self._find(run_id, name)
        try:
            said, true = read_mask(examples.said_masks(validation)), read_mask(examples.true_masks)
            return Response(draw_layer(said, true, what), 200, KEEP, "image/png")
        except RunError:
            raise HTTPException(404, texts.NO_EXAMPLES) from None

    def _find(self, run_id: str, name: str) -> tuple[Examples, ExampleValidation]:
        examples = self._examples(run_id)
        validation = examples.find(name)
        if validation is None:
            raise HTTPException(404, texts.NO_EXAMPLES)
        return examples, validation

    def _examples(self, run_id: str) -> Examples:
        try:
            return Examples.of(self._store.get(run_id))
        except RunError as error:
            raise HTTPException(404, str(error)) from None


def _line(examples: Examples, validation: ExampleValidation) -> dict[str, Any]:
    made = examples.said(validation).stat().st_mtime  # a run that goes back to a checkpoint validates again
    return {"name": validation.name, "step": validation.step, "epoch": validation.epoch, "made": made}
