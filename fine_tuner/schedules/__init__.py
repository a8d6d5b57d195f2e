"""Learning-rate schedules: built by one function, previewed by the code that runs them.

::

    check_schedule ---- settings and length of the run -> messages at the fields, before anything starts
    build_schedule ---- settings and optimizer -> Schedule, which sets every group's rate for the next step
    preview ----------- the same Schedule without an optimizer, asked for the rates of any steps

Each rate is a function of the step alone (but for ReduceLROnPlateau, which follows a metric), so a preview of some
steps is exact, and a resumed run applies the same bits.
"""

from fine_tuner.config.sections.schedule_check import check_schedule
from fine_tuner.schedules.preview import lowest_from_now, preview, preview_lowest, preview_steps
from fine_tuner.schedules.schedule import Schedule, build_schedule

__all__ = [
    "Schedule",
    "build_schedule",
    "check_schedule",
    "lowest_from_now",
    "preview",
    "preview_lowest",
    "preview_steps",
]
