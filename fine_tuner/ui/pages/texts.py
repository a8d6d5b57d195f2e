"""Words of the pages and their tabs.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

APP = "Fine Tuner"
TAB_TRAIN = "Train"
TAB_RUNS = "Runs"
TAB_RESULTS = "Results"
TAB_TRY = "Try"
TRY_PICTURE = "Picture"
TRY_NO_RUN = "No run has weights yet: they are saved after a run's first validation, or when it is stopped. Train one."
TRY_NO_WEIGHTS = "This run has no weights yet: they are saved after its first validation, or when it is stopped."
TRY_DROP = "Drop a picture, or paste one."
THE_PICTURE = "the picture"
TAB_SHARE = "Share"
