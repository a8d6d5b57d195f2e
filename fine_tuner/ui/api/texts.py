"""Words of the routes on runs.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

NOT_TRAINING = "The run {run} is not training, so its rate cannot be changed. Resume it first."
EPOCHS_OVER = "{epochs} epochs are over already. Choose more than {done}, or stop the run."
CHANGE_WAITS = "A change is waiting for the run's next step. Try again once it is on the charts."
NO_FORMAT = "There is no export {format!r}. Formats: {known}."
NO_EXAMPLES = "This run keeps no such validation pictures. Load the page again."
EVALUATION_BUSY = "Another evaluation is under way. Wait until it is done, or cancel it on its run's results."
NO_RESULTS = "There are no results {name!r} of this run (any more). Evaluate it."
NO_SUCH_PICTURE = "These results have no picture {index}, only 0 to {last}. Load the page again."
NOT_PUBLISHED = "This run is not shown here."
NOTHING_TO_TRY = "This run's model cannot be tried here."
TRY_BUSY = "Many people are trying models right now. Try again in a minute."
TRY_TOO_OFTEN = "That was a lot of pictures. Try again in a minute."
TRY_NO_PICTURE = "This is not a picture that can be read. Send a JPEG, PNG, WebP, BMP or TIFF file."
TRY_TOO_LARGE = "This picture is too large. Send one of at most {megapixels} million pixels and 12 MB."
TRY_FAILED = "The model gave no answer. Try again, or another picture."
