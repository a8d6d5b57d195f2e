"""The Data section between its fields: ways to data, what was recognised, and the check. Scripts draw all of it."""

from __future__ import annotations

import dataclasses

from fine_tuner.data.readers.set_list import SETS
from fine_tuner.ui.form.widgets import script_part


def build_data_part() -> None:
    """Below the path: a zip from the browser, torchvision's sets, and what the path is."""
    shown = ("name", "title", "num_images", "num_classes", "download_mib", "tasks")
    sets = [{key: dataclasses.asdict(spec)[key] for key in shown} for spec in SETS.values()]
    script_part("mountData", '<div class="ft-data"></div>', elem_id="ft-data", sets=sets)


def build_check_part() -> None:
    """Below task and layout: the check of the data with its findings."""
    script_part("mountCheck", '<div class="ft-check"></div>', elem_id="ft-check")
