"""All routes on runs: the owner's, and the viewers'."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from fine_tuner.ui.access.sharing import Sharing
from fine_tuner.ui.api.doubts import DoubtRoutes
from fine_tuner.ui.api.examples import ExampleRoutes
from fine_tuner.ui.api.exports import ExportRoutes
from fine_tuner.ui.api.live import LiveRoutes
from fine_tuner.ui.api.results import ResultRoutes
from fine_tuner.ui.api.runs import RunRoutes
from fine_tuner.ui.api.viewer import ViewerRoutes
from fine_tuner.ui.api.viewer_predictions import Trials
from fine_tuner.ui.jobs.services import Services


def run_routers(services: Services) -> Sequence[APIRouter]:
    """Routers on the app's services for the owner; the one that takes any action comes last."""
    return [
        LiveRoutes(services.store).router(),
        ExportRoutes(services.store, services.questions).router(),
        ExampleRoutes(services.store).router(),
        ResultRoutes(services.store, services.evaluations).router(),
        DoubtRoutes(
            services.store, services.evaluations, services.questions, services.previews, services.decisions_folder
        ).router(),
        RunRoutes(services.store, services.launcher, services.losses_folder, services.actions).router(),
    ]


def viewer_router(services: Services, sharing: Sharing) -> APIRouter:
    """The router for those who watch; it checks the role itself."""
    trials = Trials(services.ask_yielding, services.store.root, sharing.limits)
    return ViewerRoutes(services.store, trials, sharing.watching, sharing.limits).router()
