"""The network of a script: its head made for the data, its weights, what trains and in which groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torchvision.models import get_model_weights, list_models

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.export.script import replay
from fine_tuner.export.script.bundle import Bundle
from fine_tuner.export.script.pictures_part import preprocessing_of
from fine_tuner.export.script.run import Run
from fine_tuner.models.batch_norm import quicken_statistics
from fine_tuner.models.freezing import group_name, stage_rates, trained_stages
from fine_tuner.models.pretrained.choice import WeightsChoice, choose_weights
from fine_tuner.models.probe import constructor_options
from fine_tuner.models.rescaling import rescale_outputs
from fine_tuner.models.stages import HEAD, Stage, is_auxiliary
from fine_tuner.models.structure import Structure, find_structure, unclip_outputs

_BUILD = '''def build_network() -> nn.Module:
    """{about}"""
{body}
    return model'''


def network_part(run: Run, bundle: Bundle) -> str:
    """``STAGES`` and what goes with them, and ``build_network``."""
    model = run.settings.model
    choice = choose_weights(model.name, model.weights)
    sizes = preprocessing_of(run)
    options = dict(run.about.get("options") or {}) or constructor_options(
        model.name, pretrained=not choice.is_random, image_size=sizes.image_size
    )
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    structure = find_structure(model.name, run.data.num_outputs, options, image_size=sizes.image_size)
    names = [n for n, _ in structure.model.named_parameters()]
    last = run.about.get("last_stage") or _new_at_first(names, structure, choice)
    new = names if choice.is_random else [n for n in last if n in structure.head or not is_auxiliary(n)]
    stages = structure.stages(last)
    body = [f"    {line}" for line in _body(run, structure, choice, new)]
    about = f"{model.name} with {run.data.num_outputs} outputs; weights: {choice.label}.".replace("\\", "/")
    loading = [] if choice.is_random else [replay.load_fitting]
    loading += [] if choice.file is None else [replay.read_weights]
    loading += [rescale_outputs] if target_kind(run.settings.task) is TargetKind.NUMBERS else []
    loading += [quicken_statistics] if any(line.strip() == "quicken_statistics(model)" for line in body) else []
    parts = [
        _stages(run, structure.model, stages),
        bundle.take(*loading),
        _BUILD.format(about=about, body="\n".join(body)),
    ]
    return "\n\n\n".join(part for part in parts if part)


def _new_at_first(names: Sequence[str], structure: Structure, choice: WeightsChoice) -> list[str]:
    if choice.is_random:
        return list(structure.head)
    return [n for n in names if not n.startswith("backbone.")] if choice.backbone_only else list(structure.head)


# ------------------------------------------------------------------- weights
def _body(run: Run, structure: Structure, choice: WeightsChoice, new: Sequence[str]) -> list[str]:
    name, head = run.settings.model.name, structure.head
    options = "".join(f", {key}={value!r}" for key, value in structure.options.items())
    made = f"torchvision.models.get_model({name!r}, weights=None, num_classes={run.data.num_outputs}{options})"
    lines = ["torch.manual_seed(SEED)  # decides all first weights that nothing else gives", f"model = {made}"]
    if not choice.is_random:
        lines += _loading(structure, choice, new)
    if not choice.is_random and set(new) <= set(head):  # the head alone is drawn, as in the run
        layers = list(dict.fromkeys(n.rpartition(".")[0] for n in head if n in new))
        lines.append("torch.manual_seed(SEED)")
        lines += [f"model.{_item(path)}.reset_parameters()" for path in layers]
    statistics = run.data.target_mean_and_sd()
    if statistics is not None:  # the head speaks in the numbers' own units
        mean, sd = (list(values) for values in zip(*statistics, strict=True))
        lines.append(f"rescale_outputs(model, {structure.head_layers!r}, {mean}, {sd})")
    if run.settings.model.weights == "none" and quicken_statistics(structure.model):
        lines.append("quicken_statistics(model)")
    before = {path for path, module in structure.model.named_modules() if isinstance(module, nn.Identity)}
    if unclip_outputs(structure.model, structure.head_layers):
        after = {path for path, module in structure.model.named_modules() if isinstance(module, nn.Identity)}
        lines += [
            f"model.{_item(path)} = nn.Identity()  # a ReLU, so that outputs can be negative" for path in after - before
        ]
    return lines


def _loading(structure: Structure, choice: WeightsChoice, new: Sequence[str]) -> list[str]:
    """Statements that fill ``model`` with weights, but for what is ``new``."""
    if choice.file is not None:
        lines = [f"pretrained = read_weights({str(choice.file)!r})"]
    else:
        network = _network_of(choice)
        lines = [f"pretrained = torchvision.models.get_model({network!r}, weights={choice.label!r}).state_dict()"]
    names = [n for n, _ in structure.model.named_parameters()]
    above = [n for n in names if not n.startswith("backbone.")]
    if len(above) < len(names) and set(above) <= set(new):
        # torchvision's mobilenet backbones are the network's ``features``, resnet's are the network itself
        lines.append("pretrained = {f\"backbone.{k.removeprefix('features.')}\": v for k, v in pretrained.items()}")
    if "image_size" in structure.options and hasattr(structure.model, "patch_size"):
        interpolate = "torchvision.models.vision_transformer.interpolate_embeddings"
        lines.append(f"pretrained = {interpolate}(model.image_size, model.patch_size, pretrained)")
    starts = _beginnings(new, names)
    return [*lines, f"load_fitting(model, pretrained, new=({''.join(f'{start!r}, ' for start in starts)}))"]


def _network_of(choice: WeightsChoice) -> str:
    """Name of the network that weights of torchvision belong to."""
    return next(name for name in list_models() if choice.entry in get_model_weights(name))


def _item(path: str) -> str:
    """``classifier.1`` as Python: ``classifier[1]``."""
    first, *rest = path.split(".")
    return first + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in rest)


# -------------------------------------------------------------------- stages
def _stages(run: Run, model: nn.Module, stages: Sequence[Stage]) -> str:
    settings = run.settings
    rates = stage_rates(
        tuple(stages), lr=settings.optim.lr, backbone_multiplier=settings.optim.backbone_multiplier,
        stage_decay=settings.optim.stage_decay, trainable=settings.model.trainable,
    )  # fmt: skip
    names = [n for n, _ in model.named_parameters()]
    starts = {s.name: _beginnings(s.parameter_names, names) for s in stages}
    groups = {s: group_name(s, settings.optim.stage_decay) for s in rates}
    first = (
        [HEAD]
        if settings.model.trainable == "gradual"
        else [s.name for s in trained_stages(tuple(stages), settings.model.trainable)]
    )
    listed = "".join(f"    {stage!r}: {tuple(begin)!r},\n" for stage, begin in starts.items())
    return f"""# Parts of the network from input to head, by the beginnings of their parameters' names.
STAGES = {{
{listed}}}
STAGE_RATES = {rates!r}  # of what trains at some time
GROUP_NAMES = {groups!r}
FIRST_TRAINED = {first!r}"""


def _beginnings(members: Iterable[str], names: Sequence[str]) -> list[str]:
    """The fewest beginnings of names, at dots, that fit ``members`` and no other of ``names``."""
    wanted = set(members)
    found: list[str] = []
    for name in members:
        if any(name.startswith(start) for start in found):
            continue
        parts = name.split(".")
        starts = [".".join(parts[:i]) + "." for i in range(1, len(parts))] + [name]
        found.append(next(s for s in starts if all(n in wanted for n in names if n.startswith(s))))
    return found
