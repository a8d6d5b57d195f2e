"""The routes on jobs; the guard lets only the owner reach them.

========================================  =================================================================
``POST api/jobs/KIND``                    begin, for the settings in the form; 409 while it is not its turn
``GET api/jobs/KIND``                     how far it is, its result or what went wrong; see ``Job.state``
``POST api/jobs/KIND/cancel?number=``     end it; with a number only that one, whatever began since
``GET api/jobs/check/NUMBER/NAME``        a small picture of an example that a check of the data found
========================================  =================================================================
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from fine_tuner.ui.jobs import texts
from fine_tuner.ui.jobs.kinds import JobQuestion, Jobs


class JobRoutes:
    """The routes, on the jobs there are."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def router(self) -> APIRouter:
        """All of them."""
        router = APIRouter(prefix="/api/jobs")
        router.get("/check/{number}/{name}")(self.picture)
        router.get("/{kind}")(self.state)
        router.post("/{kind}")(self.start)
        router.post("/{kind}/cancel")(self.cancel)
        return router

    def state(self, kind: str) -> dict[str, Any]:
        """Where it stands."""
        return self._jobs[self._known(kind)].state()

    def start(self, kind: str, question: JobQuestion) -> dict[str, Any]:
        """Begin; with wrong settings nothing is started and the answer says which."""
        state = self._jobs.start(self._known(kind), question)
        if state is None:
            raise HTTPException(409, texts.JOB_BUSY)
        return state

    def cancel(self, kind: str, number: int | None = None) -> dict[str, Any]:
        """End it; asking twice is asking once."""
        job = self._jobs[self._known(kind)]
        job.cancel(number)
        return job.state()

    def picture(self, number: int, name: str) -> FileResponse:
        """A thumbnail."""
        path = self._jobs.picture(number, name)
        if path is None:
            raise HTTPException(404, texts.NO_PICTURE)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    def _known(self, kind: str) -> str:
        if kind not in self._jobs:
            raise HTTPException(404, texts.NO_JOB.format(kind=kind))
        if refusal := self._jobs.refusal(kind):
            raise HTTPException(403, refusal)
        return kind
