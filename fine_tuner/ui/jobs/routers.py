"""All routes of what the set-up asks; the guard lets only the owner reach them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from fine_tuner.ui.jobs.data_checks import CheckRoutes
from fine_tuner.ui.jobs.data_routes import DataRoutes
from fine_tuner.ui.jobs.finder import FinderRoutes
from fine_tuner.ui.jobs.loss_routes import LossRoutes
from fine_tuner.ui.jobs.measuring import MeasuringRoutes
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.jobs.setup_routes import SetupRoutes


def setup_routers(services: Services) -> Sequence[APIRouter]:
    """Routers on the app's services."""
    return [
        SetupRoutes(services).router(),
        LossRoutes(services).router(),
        FinderRoutes(services.finder, services.allowed).router(),
        CheckRoutes(services.checks, services.allowed).router(),
        DataRoutes(services.rates, services.allowed, services.uploads_folder).router(),
        MeasuringRoutes(services.measuring, services.allowed).router(),
    ]
