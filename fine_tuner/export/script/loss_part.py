"""The loss of a script: the formulas that trained, and the user's own code as it was."""

from __future__ import annotations

import ast
from pathlib import Path

from torch import nn

from fine_tuner.base.errors import InputError
from fine_tuner.base.text import one_line
from fine_tuner.config.sections.losses import CustomLoss, LossBase
from fine_tuner.config.sections.second_loss import losses_of
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.data.mask_coding import IGNORE_INDEX
from fine_tuner.export.script.bundle import Bundle, Import
from fine_tuner.export.script.run import Run
from fine_tuner.losses.adapt import Adaptation
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import LossCode, read_code
from fine_tuner.losses.custom import NUM_CLASSES
from fine_tuner.losses.formula_parts import at_least_float32, without_autocast
from fine_tuner.losses.modules import FormulaLoss, LossSum
from fine_tuner.losses.parts import over_split, part_of, shares_of
from fine_tuner.losses.pasted import CUSTOMARY, import_of, names_to_import
from fine_tuner.losses.signature import TensorValue, bound_names, possible_losses, read_arguments
from fine_tuner.losses.verdicts import custom_losses
from fine_tuner.tasks.build import LOSS_GROUP
from fine_tuner.tasks.mixed import MixedLoss
from fine_tuner.tasks.standardise import StandardisedLoss, is_standardised

_OF_A_FILE = ("__name__", "__file__", "__doc__", "globals")


def parts_of_losses(bundle: Bundle) -> str:
    """How parts of a step add up. Taken first of all: what trains uses it too, but stands below the loss."""
    return bundle.take(over_split, shares_of, part_of, FormulaLoss, LossSum)


def loss_part(run: Run, bundle: Bundle) -> str:
    """Definitions, and ``loss_fn(logits, targets)``."""
    settings = run.settings
    parts: list[str] = []
    calls = {
        section: _expression(run, loss, section, bundle, parts)
        for section, loss in sorted(losses_of(settings).items(), key=lambda item: isinstance(item[1], CustomLoss))
    }  # formulas first: which names are taken is known when the user's code comes
    expression = calls["loss"]
    if "second_loss" in calls:
        expression = f"LossSum({expression}, {calls['second_loss']}, {settings.second_loss.weight!r})"
    if LOSS_GROUP in run.facts.get("groups", ()):
        parts.append(_GROUPS.format(own=", ".join(f"_{name}_itself" for name in custom_losses(settings))))
        run.caveats.append("parameters of the loss's own begin as its code makes them, so drawn ones differ.")
    statistics = run.data.target_mean_and_sd()
    if statistics is not None and is_standardised(settings):
        mean, sd = (list(values) for values in zip(*statistics, strict=True))
        parts.append(bundle.take(StandardisedLoss))
        expression = f"StandardisedLoss({expression}, mean={mean}, sd={sd})"
    elif settings.augment.mix != "none" and target_kind(settings.task) is TargetKind.CLASS:
        parts.append(bundle.take(MixedTargets, MixedLoss))
        expression = f"MixedLoss({expression})"
    parts.append(f"# Called as loss_fn(logits, targets): a scalar.\nloss_fn = {expression}")
    return "\n\n\n".join(part for part in parts if part)


_GROUPS = '''def loss_groups(device: torch.device, lr: float) -> list[dict[str, Any]]:
    """What the loss itself learns, at the head's rate and without decay."""
    modules = [loss.to(device) for loss in ({own},) if isinstance(loss, nn.Module)]
    own = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [{{"params": own, "lr": lr, "weight_decay": 0.0, "name": "loss"}}]'''


def _expression(run: Run, loss: LossBase, section: str, bundle: Bundle, parts: list[str]) -> str:
    """The loss as an expression; definitions that it needs are added to ``parts``."""
    if isinstance(loss, CustomLoss):
        parts.append(bundle.take(without_autocast, at_least_float32))
        parts.append(_own(run, loss, section, bundle))
        return f"own_{section}"
    module = build_loss(
        loss, task=run.settings.task, num_outputs=run.data.num_outputs, class_counts=run.data.class_counts("train")
    )
    return _call(module, section, bundle, parts)


def _call(module: nn.Module, section: str, bundle: Bundle, parts: list[str]) -> str:
    if isinstance(module, LossSum):
        first, second = (_call(m, section, bundle, parts) for m in (module.first, module.second))
        return f"LossSum({first}, {second}, {module.weight!r})"
    if not isinstance(module, FormulaLoss):
        raise TypeError(f"{type(module).__name__} is no loss that a script can write out")
    parts.append(bundle.take(module.formula))
    arguments = [f"{name}={value!r}" for name, value in module.parameters_of_formula.items()]
    if module.weight is not None:
        name = f"CLASS_WEIGHTS_OF_{section.upper()}"
        parts.append(f"{name} = torch.tensor({module.weight.tolist()})")
        arguments.insert(0, f"weight={name}")
    return f"FormulaLoss({', '.join([module.formula.__name__, *arguments])})"


# ------------------------------------------------------------- the user's own
def _own(run: Run, loss: CustomLoss, section: str, bundle: Bundle) -> str:
    """The user's file, verbatim, and a function that gives it what it was given in training."""
    code = read_code(Path(loss.file))
    name = run.user_files.get(section, code.path.name)
    entry = _entry(code, loss.entry.strip())
    made, extra = _calls(code, entry, loss.arguments, run.data.num_outputs)
    about = f"the loss of the user's own, {one_line(name)}, SHA-256 {code.sha256}"
    adaptation = _adaptation(loss, run.settings.task)
    copied = bundle.take(*adaptation.steps)
    given = "".join(
        f"\n        output, target = {step.__name__}(output, target{f', {index}' if index is not None else ''})"
        for step, index in adaptation.calls
    )
    if adaptation.ignored == "left_out":
        given += "\n        if not output.numel():\n            return at_least_float32(logits).sum() * 0.0"
    if _fits_inline(code, bundle):
        text = f"# Verbatim: {about}\n# >>> {section}\n{code.text.rstrip(chr(10))}\n# <<< {section}"
    else:  # its names would meet others here, or it must be a file of its own
        text = f"# Verbatim, as text: {about}\n{section.upper()}_SOURCE = {_literal(code.text)}\n"
        text += f"_{section} = types.ModuleType({name!r})\n"
        for missing in names_to_import(code.text):
            text += f"exec({import_of(missing)!r}, _{section}.__dict__)\n"
        text += f"exec({section.upper()}_SOURCE, _{section}.__dict__)"
        made = f"_{section}.{made}"
        bundle.need(("types", "", "types"))
    text = f"{copied}\n\n\n{text}" if copied else text
    return f'''{text}


_{section}_itself = {made}


def own_{section}(logits: Tensor, targets: Tensor) -> Tensor:
    """{entry} of {name}: gets {adaptation.inputs.replace("_", " ")} in float32, outside autocast."""
    if isinstance(_{section}_itself, nn.Module):
        _{section}_itself.to(logits.device)
    with without_autocast(logits.device):
        output, target = at_least_float32(logits), targets{given}
        value = _{section}_itself(output.contiguous(), target.contiguous(){extra})
        return at_least_float32(value).mean()'''


def _adaptation(loss: CustomLoss, task: str) -> Adaptation:
    """What the run gave the code: it kept that as settings; a run older than these forms gave both as they are."""
    inputs = loss.inputs if loss.inputs != "auto" else "as_is"
    ignored = loss.ignored if loss.ignored != "auto" else "given"
    return Adaptation(kind=target_kind(task), inputs=inputs, ignored=ignored, ignore_index=IGNORE_INDEX)


def _entry(code: LossCode, entry: str) -> str:
    """Name of the loss in the user's file, told without running it.

    Raises:
        InputError: If there are several, or none that can be told from the text.
    """
    found = [possible.name for possible in possible_losses(code.text)]
    fitting = [entry] if entry else found
    if len(fitting) != 1:
        raise InputError(
            f"{code.path} has {len(fitting)} possible losses ({', '.join(fitting) or 'none'}), so the script cannot "
            "call it. Set 'Name in the file' (loss.entry) in the run, or export another format."
        )
    return fitting[0]


def _calls(code: LossCode, entry: str, arguments: str, num_outputs: int) -> tuple[str, str]:
    """The expression that makes the loss, and what it is called with beside output and target."""
    given = {name: _written(value) for name, value in read_arguments(arguments).items()}
    possible = next((p for p in possible_losses(code.text, only_main=False) if p.name == entry), None)
    known = possible.arguments if possible is not None else ()
    of_call = [name for name in given if any(a.name == name and a.role == "forward" for a in known)]
    extra = "".join(f", {name}={given[name]}" for name in of_call)
    if not isinstance(code.definition(entry), ast.ClassDef):
        return entry, extra
    needed = {a.name: repr(num_outputs) for a in known if a.default is None and a.name in NUM_CLASSES}
    of_class = {a.name for a in known if a.role == "constructor"}
    own = needed | {name: value for name, value in given.items() if name in of_class or name not in of_call}
    return f"{entry}({', '.join(f'{name}={value}' for name, value in own.items())})", extra


def _written(value: object) -> str:
    if isinstance(value, TensorValue):
        return f"torch.tensor({value.values!r}, dtype=torch.float32)"
    return repr(value)


def _fits_inline(code: LossCode, bundle: Bundle) -> bool:
    """Whether the user's text can stand among the script's own: no name twice, nothing that must be a file of its own.

    If so its names are reserved.
    """
    tree = ast.parse(code.text)
    if any(isinstance(n, ast.Global) or (isinstance(n, ast.Name) and n.id in _OF_A_FILE) for n in ast.walk(tree)):
        return False
    names: list[str] = []
    missing: list[Import] = [(*CUSTOMARY[name], name) for name in names_to_import(code.text)]
    imports: list[Import] = [*missing]
    for node in tree.body:
        match node:
            case ast.Import(names=aliases):
                imports += [(a.name, "", a.asname or a.name.partition(".")[0]) for a in aliases]
            case ast.ImportFrom(module=str(source), names=aliases, level=0) if source != "__future__":
                imports += [(source, a.name, a.asname or a.name) for a in aliases]
            case ast.FunctionDef() | ast.ClassDef() | ast.Assign():
                names += bound_names(node)
            case ast.Expr(value=ast.Constant()):
                continue
            case _:
                return False
    if any(inner == "*" for _, inner, _ in imports) or not bundle.can_stand_beside(names, imports):
        return False
    bundle.need(*missing)
    bundle.reserve([*names, *(name for _, _, name in imports)])
    return True


def _literal(text: str) -> str:
    """A literal of ``text``, as lines where that is exact."""
    is_plain = "'''" not in text and "\\" not in text and text.isascii() and "\r" not in text and not text.endswith("'")
    return f"'''\\\n{text}'''" if is_plain else repr(text)
