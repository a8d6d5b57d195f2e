"""Words of what is asked for the set-up, and of the jobs.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

NO_ANSWER = "The plan could not be made: the command ended without an answer ({error}). Change a field to try again."
NO_NETWORKS = "The list of networks could not be read. Type a torchvision name, or try again."
NO_SUCH_FOLDER = "No such folder below the allowed ones."
NO_PICTURE = "This picture is gone; the page makes new ones."
NO_ZIP = (
    "{name} is no zip. Pack the folder with the images into one, or give a folder on the machine that runs the app."
)
ZIP_TOO_LARGE = (
    "The zip is larger than {limit}, the most that is taken here. Copy it to the machine that runs the app, and give "
    "its path."
)
ZIPS_TOO_LARGE = (
    "There is room for {limit} more in {folder}. Remove zips there that you need no more (Zips kept, below the path), "
    "or copy this one to the machine that runs the app, and give its path."
)
ZIP_NOT_WRITTEN = (
    "The zip could not be kept in {folder} ({error}). Make room there, or make the folder writable; or start the app "
    "with the environment variable {variable} naming a folder that is. Or copy the zip to that machine, and give its "
    "path."
)
JOB_BUSY = (
    "This, or another measurement, is under way already, perhaps in another tab. Cancel it there, or wait until it is "
    "done."
)
JOB_BROKE = "It failed for a reason of its own: {error}. Try again, or report this."
NO_JOB = "There is no job {kind!r}. There are: check, finder, precisions, batch, loss."
FILE_CHANGED = (
    "{path} is not what the editor began with: something else changed it, or it was there before. Open it, or save "
    "under another name."
)
FILE_NOT_WRITTEN = "{path} could not be written: {error}. Save it in another place."
NO_PYTHON_NAME = "{path!r} is no name of a Python file. End it in .py, as in my_loss.py."
NO_CODE_CHOSEN = "is no loss of your own. Choose 'custom' first."
