"""Words of the set-up's form; labels and help of settings live with the settings.

A text with braces is a ``str.format`` template.
"""

from __future__ import annotations

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
PRESET_TITLES = {
    "sample": "Sample",
    "sample-random": "Sample, from random numbers",
    "sample-pretrained": "Sample, pretrained",
    "default": "Your folder",
    "sample-labels": "Sample: labels",
    "sample-numbers": "Sample: numbers",
    "sample-masks": "Sample: masks",
}
PRESET_HINTS = {
    "sample": "A small network that learned drawn shapes and textures is fine-tuned on four kinds of pictures that it "
    "never saw. Both ship with the app: nothing is downloaded.",
    "sample-random": "The same network from random numbers: what it is like without anything learned before.",
    "sample-pretrained": "The same pictures, starting from weights trained on ImageNet (14 MB to download once).",
    "default": "A network that was trained on many photographs goes on to learn from pictures of yours.",
    "sample-labels": "Several labels for one picture: which of striped, dotted and night fit the app's own pictures.",
    "sample-numbers": "Regression: how many shapes the app's own pictures show, learned as a number.",
    "sample-masks": "Segmentation: which pixels of the app's own pictures belong to which shape.",
}
EVERYTHING = "everything"
FOLLOWS = "rate chosen for the data"
FOLLOW = "epochs and batch chosen for the data"
EPOCHS_FOLLOW = "epochs chosen for the data"
BATCH_FOLLOWS = "batch chosen for the data"
HEAD_ONLY = "head only"
HEAD_FIRST = "head first, then everything"
LAST_STAGES = "last {count} stages"
LAST_STAGE = "last stage"
OFF = "off (fp32)"
RANDOM_WEIGHTS = "random weights"
SOURCE_WEIGHTS = "from the app's source network"

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
WEIGHTS_SOURCE = "source: learned {about} · ships with the app"
WEIGHTS_NONE = "none: random"
WEIGHTS_FILE = "from a file"
WEIGHTS_FILE_LABEL = "File of weights"
WEIGHTS_FILE_HELP = "safetensors or a state dict (.pt, .pth), on the machine that runs the app."
EMPTY_MEANS_AUTO = "automatic"
EMPTY = "empty"
DOCS = "torch docs"
NOT_BELOW_ROOTS = (
    "no file or folder {path!r} below {roots}. Check the spelling, or start the app with --data-root FOLDER to allow "
    "another place."
)
EMPTY_PATH = "is empty. Give a folder that holds one folder of images per class, or builtin:sample."
NO_CODE_YET = "still to write or choose"
EMPTY_FILE = "is empty. Give the path of a Python file, or write one below and press Check."
CODE_NOT_ALLOWED = (
    "custom code is off, since the page can be reached from other machines. Start the app with --allow-code to allow "
    "it, or choose another loss."
)
NO_WEIGHTS_FILE = "is empty. Give the path of a file of weights, or choose another start."
NOT_LOADED = "These settings do not fit this version of the app, so the form stays as it is. {error}"
CORRECT_FIRST = "Nothing was started: correct the marked fields first."
EDITOR = "Code"
CODE_NOT_OFFERED = (
    "A loss of your own is not offered: the page can be reached from other machines, and code runs with the rights of "
    "whoever started the app. Start it with --allow-code to offer it."
)
