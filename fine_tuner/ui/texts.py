"""The page's own words, in one place so that a second language can follow. Labels and help of settings live with them.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

APP = "Fine Tuner"

# Sections of the set-up, by id
SECTION_TITLES = {
    "data": "Data",
    "model": "Model",
    "trainable": "What trains",
    "loss": "Loss",
    "optim": "Optimizer",
    "schedule": "Schedule",
    "precision": "Precision",
    "run": "Run",
    "second_loss": "Second loss",
}
MORE = "More"
START_FROM = "Start from"
PRESET_TITLES = {
    "sample": "Sample",
    "sample-pretrained": "Sample, pretrained",
    "default": "Your folder",
    "sample-labels": "Sample: labels",
    "sample-numbers": "Sample: numbers",
    "sample-masks": "Sample: masks",
}
PRESET_HINTS = {
    "sample": "A small network from random weights learns pictures that the app makes itself. Needs no network.",
    "sample-pretrained": "The same pictures, starting from weights trained on ImageNet (14 MB to download once).",
    "default": "A network trained on ImageNet learns the classes of a folder of yours.",
    "sample-labels": "Several labels for one picture: which of striped, dotted and night fit the app's own pictures.",
    "sample-numbers": "Regression: how many shapes the app's own pictures show, learned as a number.",
    "sample-masks": "Segmentation: which pixels of the app's own pictures belong to which shape.",
}

# Summaries in the section lines
CHECK = "needs attention"
EVERYTHING = "everything"
HEAD_ONLY = "head only"
HEAD_FIRST = "head first, then everything"
LAST_STAGES = "last {count} stages"
LAST_STAGE = "last stage"
OFF = "off (fp32)"
RANDOM_WEIGHTS = "random weights"

# Choices
TRAINABLE_CHOICES = (
    ("everything", "all"),
    ("head only", "head"),
    ("head first, then everything", "gradual"),
    ("last stage", "1"),
    ("last 2 stages", "2"),
    ("last 3 stages", "3"),
)
WEIGHTS_DEFAULT = "default"
WEIGHTS_BEST = "torchvision's best"
WEIGHTS_HERE = "on this machine"
WEIGHTS_NONE = "none: random"
WEIGHTS_FILE = "from a file"
WEIGHTS_FILE_LABEL = "File of weights"
WEIGHTS_FILE_HELP = "safetensors or a state dict (.pt, .pth), on the machine that runs the app."
EMPTY_MEANS_AUTO = "automatic"
DOCS = "torch docs"

# Messages: what is wrong, where, what to do
NOT_BELOW_ROOTS = (
    "no file or folder {path!r} below {roots}. Check the spelling, or start the app with --data-root FOLDER to allow "
    "another place."
)
EMPTY_PATH = "is empty. Give a folder that holds one folder of images per class, or builtin:sample."
EMPTY_FILE = "is empty. Give the path of a Python file, or write one below and press Check."
CODE_NOT_ALLOWED = (
    "custom code is off, since the page can be reached from other machines. Start the app with --allow-code to allow "
    "it, or choose another loss."
)
NO_WEIGHTS_FILE = "is empty. Give the path of a file of weights, or choose another start."
NOT_LOADED = "These settings do not fit this version of the app, so the form stays as it is. {error}"
CORRECT_FIRST = "Nothing was started: correct the marked fields first."
READ_ONLY = "This page is read-only for you. Only the owner can change things."
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
ZIP_NOT_WRITTEN = "The zip could not be kept ({error}). Free some space on the machine that runs the app."
MEASURING_BUSY = (
    "A measurement is under way already, perhaps in another tab. Cancel it there, or wait until it is done."
)
FINDER_BUSY = "The finder is at work already, perhaps in another tab. Cancel it there, or wait until it is done."
CROSS_SITE = "Refused: the request comes from another web site."
CHANGE_ONE = "Nothing to change: give one of lr_factor and optim.lr, or train.epochs."
NOT_TRAINING = "The run {run} is not training, so its rate cannot be changed. Resume it first."
EPOCHS_OVER = "{epochs} epochs are over already. Choose more than {done}, or stop the run."
CHANGE_WAITS = "A change is waiting for the run's next step. Try again once it is on the charts."

# The user's own loss
EDITOR = "Code"
CODE_NOT_OFFERED = (
    "A loss of your own is not offered: the page can be reached from other machines, and code runs with the rights of "
    "whoever started the app. Start it with --allow-code to offer it."
)
FILE_CHANGED = (
    "{path} is not what the editor began with: something else changed it, or it was there before. Open it, or save "
    "under another name."
)
FILE_NOT_WRITTEN = "{path} could not be written: {error}. Save it in another place."
NO_PYTHON_NAME = "{path!r} is no name of a Python file. End it in .py, as in my_loss.py."
CHECK_FAILED = "The check itself failed: {error}. Try again, or report this."
NO_CODE_CHOSEN = "is no loss of your own. Choose 'custom' first."
NO_CHECK = "This check is gone: the app was restarted, or newer ones took its place. Press Check to run it again."

# Tabs and the trial
TAB_TRAIN = "Train"
TAB_RUNS = "Runs"
TAB_TRY = "Try"
TRY_PICTURE = "Picture"
TRY_NO_RUN = "No run has weights yet: they are saved after the first validation of a run. Train one, then come back."
TRY_NO_WEIGHTS = "This run has no weights yet: they are saved after its first validation. Choose another, or wait."
TRY_DROP = "Drop a picture, or paste one."
THE_PICTURE = "the picture"
NO_FORMAT = "There is no export {format!r}. Formats: {known}."

# Sharing
TAB_SHARE = "Share"
NOT_SERVED = "This address is not served here. Open http://127.0.0.1 with the port."
TOO_MANY = "Too many requests. Wait a few seconds."
TOO_MANY_TOKENS = "Too many tries with a wrong token. Wait a minute."
TOO_LARGE = "The request is too large."
TOO_SLOW = "The request came too slowly."
NOT_SIGNED_IN = "Not signed in. Open the link that the app printed when it started, or that its owner gave you."
NO_TUNNEL = (
    "No public link: the tunnel could not be opened ({error}). The page is served here all the same; lead people to it "
    "with ssh -R or a reverse proxy instead."
)
NO_LINK = "There is no {role} link. Make one first."
NO_OWNER_LINK = (
    "On this machine the owner needs no link. Start the app with --share or --host to get one for other machines."
)
NOT_PUBLISHED = "This run is not shown here."
NOTHING_TO_TRY = "This run's model cannot be tried here."
TRY_BUSY = "Many people are trying models right now. Try again in a minute."
TRY_TOO_OFTEN = "That was a lot of pictures. Try again in a minute."
TRY_NO_PICTURE = "This is not a picture that can be read. Send a JPEG, PNG, WebP, BMP or TIFF file."
TRY_TOO_LARGE = "This picture is too large. Send one of at most {megapixels} million pixels and 12 MB."
TRY_FAILED = "The model gave no answer. Try again, or another picture."
STRANGER = "Another user of this machine asked for the page and was refused. If that was you, open this link: {link}"
