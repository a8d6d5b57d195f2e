"""A run as one Python file that repeats it with torch and torchvision alone.

The file has these parts: what the run was, the loss, the pictures, the network, optimizer and schedule, the loop, and
last the list of files. What trained is copied (``bundle.py``); what depends on settings is written out as plain values.
"""

from __future__ import annotations

import importlib.metadata
import json
import textwrap
from collections.abc import Mapping
from typing import Any

import torch
import torchvision

from fine_tuner.base.text import one_line
from fine_tuner.base.version import __version__
from fine_tuner.config.io import dump_yaml
from fine_tuner.data.records import DataSplits
from fine_tuner.export.script import replay, replay_pictures
from fine_tuner.export.script.bundle import Bundle
from fine_tuner.export.script.loss_part import loss_part, parts_of_losses
from fine_tuner.export.script.network_part import network_part
from fine_tuner.export.script.optimizer_part import optimizer_part
from fine_tuner.export.script.pictures_part import pictures_part
from fine_tuner.export.script.run import Run
from fine_tuner.export.script.script_text import ALWAYS_DIFFERENT, HEADER, MAIN
from fine_tuner.export.script.unsupported import not_repeated
from fine_tuner.tasks import TASKS
from fine_tuner.tasks.build import LOSS_GROUP

_IMPORTS = (
    *((name, "", name) for name in ("argparse", "json", "math", "torch", "torchvision")),
    ("functools", "partial", "partial"),
    ("pathlib", "Path", "Path"), ("torch", "Tensor", "Tensor"), ("torch", "nn", "nn"), ("typing", "Any", "Any"),
    ("torchmetrics", "MetricCollection", "MetricCollection"), ("torch.optim", "lr_scheduler", "lr_scheduler"),
)  # fmt: skip
_RUNS_AGAIN = (
    "what is frozen ran once for each view of a picture, here it runs in every epoch: sums are rounded in another "
    "order, so the losses agree to three digits or so."
)
_END = 'if __name__ == "__main__":\n    main()\n'
_RESERVED = (
    "RUN", "SEED", "EPOCHS", "BATCH_SIZE", "ACCUMULATE", "CLIP_NORM", "HALF", "DEVICE", "NUM_WORKERS", "ROOT",
    "CHANGES", "VIEWS", "BEST_METRIC", "HIGHER_IS_BETTER", "STAGES", "STAGE_RATES", "GROUP_NAMES", "FIRST_TRAINED",
    "HEAD_EPOCHS", "WEIGHT_DECAY", "DECAY_ALL", "STEPS_PER_EPOCH", "WARMUP_STEPS", "BY_EPOCH",
    "CYCLES_MOMENTUM", "STOPPED", "FILES", "CODING", "MIXER", "main", "options", "loss_fn",
    "mixed", "order_of", "target_of", "build_transform", "build_network", "build_optimizer",
    "build_scheduler", "build_metrics", "epoch_keys_of_val", "view_of", "own_loss", "own_second_loss",
    "loss_groups",
)  # fmt: skip


def make_script(run: Run, *, file: str) -> str:
    """The text of the script; what it cannot repeat is said at its top.

    Args:
        run: What to repeat.
        file: What the script will be called, for its own usage line.

    Raises:
        InputError: If the run cannot be told from its folder.
    """
    has_loss_groups = LOSS_GROUP in run.facts.get("groups", ())
    bundle = Bundle(_RESERVED, _IMPORTS)
    run.caveats.extend(not_repeated(run.settings))
    if run.facts.get("features", {}).get("is_used"):
        run.caveats.append(_RUNS_AGAIN)
    adding_up = parts_of_losses(bundle)
    parts = {
        "The pictures": pictures_part(run, bundle),
        "The network": network_part(run, bundle),
        "Optimizer and rates": optimizer_part(run, bundle),
        "Metrics": _metrics(run, bundle),
        "Training": _loop(bundle) + "\n\n" + (_with_loss_groups(MAIN) if has_loss_groups else MAIN),
        "Which file is in which split": _files(run.data),
    }
    loss = "\n\n\n".join([adding_up, loss_part(run, bundle)])
    parts = {"The loss": loss} | parts  # made last: the user's names must not meet the script's
    text = [_constants(run), *(_titled(title, part) for title, part in parts.items())]
    head = [_header(run, file), "from __future__ import annotations", bundle.imports()]
    return "\n\n".join([*head, *(part.strip("\n") + "\n" for part in text), _END])


def _with_loss_groups(text: str) -> str:
    """The loop in which the loss learns too."""
    line = "    optimizer = build_optimizer(groups, device)\n"
    return text.replace(line, f"    groups += loss_groups(device, groups[0]['lr'])\n{line}")


def _titled(title: str, text: str) -> str:
    return f"# {'-' * (100 - len(title))} {title}\n{text}"


def _header(run: Run, file: str) -> str:
    model = run.settings.model
    caveats = [*run.caveats, *ALWAYS_DIFFERENT]
    others = [
        f"{name} {importlib.metadata.version(name)}" for name in ("torchmetrics", "safetensors", "pillow", "numpy")
    ]
    different = "\n".join(textwrap.fill(f"Not the same: {_inside_docstring(text)}", 115) for text in caveats)
    return HEADER.format(
        run_id=_inside_docstring(run.id), what=model.name, file=_inside_docstring(file),
        torch=torch.__version__, torchvision=torchvision.__version__, version=__version__,
        others=", ".join(others), caveats=different,
    )  # fmt: skip


def _inside_docstring(text: str) -> str:
    """``text`` as Python reads it again: the name of a folder that somebody brought must not become code."""
    return one_line(text.replace("\\", r"\\").replace('"""', r"\"\"\""))


def _constants(run: Run) -> str:
    settings = run.settings
    best, higher = run.facts["best_metric"].removeprefix("val/"), run.facts["best_direction"] == "max"
    half = {"bf16": "torch.bfloat16", "fp16": "torch.float16"}.get(run.facts["precision"])
    device = _DEVICES.get(device_type_of(run.facts), '"cpu"')
    listed = "\n".join(f"#     {line}" for line in dump_yaml(settings).splitlines())
    head_epochs = settings.model.head_epochs if settings.model.trainable == "gradual" else None
    views = run.facts.get("features", {}).get("views") or None
    changes = ", ".join(repr(tuple(change)) for change in run.changes)
    return f"""# The settings of the run:
#
{listed}

RUN = {run.id!r}
ROOT = Path({str(run.data.root)!r})
SEED = {settings.seed}
EPOCHS = {settings.train.epochs}
BATCH_SIZE = {settings.train.batch_size * run.facts.get("began_with_devices", 1)}
ACCUMULATE = {settings.train.accumulate}  # batches that make one step
CLIP_NORM = {settings.optim.clip_norm}
HALF = {half}  # type of autocast's half precision; None computes in float32
CHANNELS_LAST = {bool(run.facts.get("is_channels_last"))}  # memory format of the network
DEVICE = {device}
NUM_WORKERS = {settings.data.num_workers or 0}
HEAD_EPOCHS = {head_epochs}  # epochs in which only the head trains; None: no such beginning
VIEWS = {views}  # augmented views of a picture, which later epochs repeat; None: each epoch has its own
STEPS_PER_EPOCH = {run.steps_per_epoch}
BEST_METRIC, HIGHER_IS_BETTER = {best!r}, {higher}
STOPPED = {run.stopped}  # steps after which the user ended the run, and whether they were validated; None: nobody did
# Changes made while the run trained: steps done then, setting, value.
CHANGES = [{changes}]"""


_DEVICES = {
    "cuda": '"cuda" if torch.cuda.is_available() else "cpu"',
    "mps": '"mps" if torch.backends.mps.is_available() else "cpu"',
    "xpu": '"xpu" if torch.xpu.is_available() else "cpu"',
}


def device_type_of(facts: Mapping[str, Any]) -> str:
    """``cpu``, ``cuda``, ``mps`` or ``xpu``: where a run trained. Earlier versions wrote only the device's name."""
    name = str(facts["device"])
    by_name = "cuda" if name.startswith("CUDA ") else "mps" if name == "Apple GPU" else "cpu"
    return facts.get("device_type", by_name)


def _metrics(run: Run, bundle: Bundle) -> str:
    task = TASKS[run.settings.task]
    function = getattr(task.build_metrics, "func", task.build_metrics)  # of a partial
    text = bundle.take(function)
    arguments = task.arguments_of_metrics(run.data.output_names)
    fixed = "".join(f", {name}={value!r}" for name, value in arguments.items())
    return f'''{text}


def build_metrics() -> MetricCollection:
    """Of the validation split."""
    return {function.__name__}({run.data.num_outputs}{fixed})'''


def _loop(bundle: Bundle) -> str:
    return bundle.take(
        replay_pictures.Pictures, replay_pictures.batches, replay_pictures.epoch_keys, replay.parameter_groups,
        replay.freeze, replay.set_train_mode, replay.loss_of, replay.Rates, replay.evaluate, replay.is_better,
    )  # fmt: skip


def _files(data: DataSplits) -> str:
    """The records as JSON, one a line; paths are relative to ROOT where they can be."""
    tree = data.to_json()["splits"]
    lines = [f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in tree.items()]
    text = "{" + ",\n".join(lines) + "}"
    return f"FILES = json.loads({_quoted(text)})"


def _quoted(text: str) -> str:
    """A literal of ``text`` that stays readable where it can."""
    return f'r"""\n{text}\n"""' if '"""' not in text and not text.endswith(("\\", '"')) else repr(text)
