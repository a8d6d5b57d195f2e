"""The loss of a script: the formulas that trained, and the user's own code as it was."""

from __future__ import annotations

import ast
from pathlib import Path

from torch import nn

from fine_tuner.base.errors import InputError
from fine_tuner.config.sections.losses import CustomLoss, LossBase
from fine_tuner.config.sections.second_loss import without_weight
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.loading.mixing import MixedTargets
from fine_tuner.export.script.bundle import Bundle, Import
from fine_tuner.export.script.run import Run
from fine_tuner.losses.build import build_loss
from fine_tuner.losses.code import LossCode, read_code
from fine_tuner.losses.inputs import at_least_float32, without_autocast
from fine_tuner.losses.modules import FormulaLoss, LossSum
from fine_tuner.losses.parts import over_split, part_of, shares_of
from fine_tuner.tasks.mixed import MixedLoss
from fine_tuner.tasks.standardise import StandardisedLoss, is_standardised

_OF_A_FILE = ("__name__", "__file__", "__doc__", "globals")


def parts_of_losses(bundle: Bundle) -> str:
    """How parts of a step add up. Taken first of all: what trains uses it too, but stands below the loss."""
    return bundle.take(over_split, shares_of, part_of, FormulaLoss, LossSum)


def loss_part(run: Run, bundle: Bundle) -> str:
    """Definitions, and ``loss_fn(logits, targets)``."""
    settings = run.settings
    losses = {"loss": settings.loss, "second_loss": without_weight(settings.second_loss)}
    parts: list[str] = []
    calls = {
        section: _expression(run, loss, section, bundle, parts)
        for section, loss in sorted(losses.items(), key=lambda item: isinstance(item[1], CustomLoss))
        if loss is not None
    }  # formulas first: which names are taken is known when the user's code comes
    expression = calls["loss"]
    if "second_loss" in calls:
        expression = f"LossSum({expression}, {calls['second_loss']}, {settings.second_loss.weight!r})"
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
    """The user's file, verbatim, and a function that calls it as training did."""
    code = read_code(Path(loss.file))
    name = run.user_files.get(section, code.path.name)
    entry, call = _entry(code, loss.entry.strip())
    about = f"the loss of the user's own, {name}, SHA-256 {code.sha256}"
    if _fits_inline(code, bundle):
        text = f"# Verbatim: {about}\n# >>> {section}\n{code.text.rstrip(chr(10))}\n# <<< {section}"
        made = call
    else:  # its names would meet others here, or it must be a file of its own
        text = f"# Verbatim, as text: {about}\n{section.upper()}_SOURCE = {_literal(code.text)}\n"
        text += f"_{section} = types.ModuleType({name!r})\nexec({section.upper()}_SOURCE, _{section}.__dict__)"
        made = f"_{section}.{call}"
        bundle.need(("types", "", "types"))
    return f'''{text}


_{section}_itself = {made}


def own_{section}(logits: Tensor, targets: Tensor) -> Tensor:
    """{entry} of {name}: gets the raw output in float32, outside autocast."""
    if isinstance(_{section}_itself, nn.Module):
        _{section}_itself.to(logits.device)
    with without_autocast(logits.device):
        return at_least_float32(_{section}_itself(at_least_float32(logits), targets))'''


def _entry(code: LossCode, entry: str) -> tuple[str, str]:
    """Name of the loss in the user's file, and the expression that makes it; told without running the file.

    Raises:
        InputError: If there are several, or none that can be told from the text.
    """
    found = {name: node for node in ast.parse(code.text).body for name in _names(node) if not name.startswith("_")}
    fitting = [name for name, node in found.items() if name == entry or (not entry and _can_be_loss(node))]
    if len(fitting) != 1:
        raise InputError(
            f"{code.path} has {len(fitting)} possible losses ({', '.join(fitting) or 'none'}), so the script cannot "
            "call it. Set 'Name in the file' (loss.entry) in the run, or export another format."
        )
    (name,) = fitting
    return name, f"{name}()" if isinstance(found[name], ast.ClassDef) else name


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [t.id for t in targets if isinstance(t, ast.Name)]
    return []


def _can_be_loss(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef(args=arguments):
            return _takes(arguments, 2)
        case ast.ClassDef(body=body):
            methods = {n.name: n.args for n in body if isinstance(n, ast.FunctionDef)}
            return (
                "forward" in methods
                and _takes(methods["forward"], 3)
                and ("__init__" not in methods or _takes(methods["__init__"], 1))
            )
    return False


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether ``count`` positional arguments are enough and not too many."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    most = float("inf") if arguments.vararg else len(positional)
    return needed <= count <= most and all(default is not None for default in arguments.kw_defaults)


def _fits_inline(code: LossCode, bundle: Bundle) -> bool:
    """Whether the user's text can stand among the script's own: no name twice, nothing that must be a file of its own.

    If so its names are reserved.
    """
    tree = ast.parse(code.text)
    if any(isinstance(n, ast.Global) or (isinstance(n, ast.Name) and n.id in _OF_A_FILE) for n in ast.walk(tree)):
        return False
    names: list[str] = []
    imports: list[Import] = []
    for node in tree.body:
        match node:
            case ast.Import(names=aliases):
                imports += [(a.name, "", a.asname or a.name.partition(".")[0]) for a in aliases]
            case ast.ImportFrom(module=str(source), names=aliases, level=0) if source != "__future__":
                imports += [(source, a.name, a.asname or a.name) for a in aliases]
            case ast.FunctionDef() | ast.ClassDef() | ast.Assign():
                names += _names(node)
            case ast.Expr(value=ast.Constant()):
                continue
            case _:
                return False
    if any(inner == "*" for _, inner, _ in imports) or not bundle.can_stand_beside(names, imports):
        return False
    bundle.reserve([*names, *(name for _, _, name in imports)])
    return True


def _literal(text: str) -> str:
    """A literal of ``text``, as lines where that is exact."""
    is_plain = "'''" not in text and "\\" not in text and text.isascii() and "\r" not in text and not text.endswith("'")
    return f"'''\\\n{text}'''" if is_plain else repr(text)
