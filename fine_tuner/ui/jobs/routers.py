"""All routes of what the set-up asks; the guard lets only the owner reach them."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from fine_tuner.ui.jobs.data_routes import DataRoutes
from fine_tuner.ui.jobs.job_routes import JobRoutes
from fine_tuner.ui.jobs.loss_routes import LossRoutes
from fine_tuner.ui.jobs.services import Services
from fine_tuner.ui.jobs.setup_routes import SetupRoutes


def setup_routers(services: Services) -> Sequence[APIRouter]:
    """Routers on the app's services."""
    return [
        SetupRoutes(services).router(),
        JobRoutes(services.jobs).router(),
        LossRoutes(services).router(),
        DataRoutes(services.rates, services.allowed, services.uploads, roots=services.data_roots).router(),
    ]
