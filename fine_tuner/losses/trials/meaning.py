"""In which form a user's loss has a meaning: it is run in each on a small synthetic batch, and its values are measured.

Logits that give every right answer with a size s (a wrong one for s < 0) make a loss a curve v(s). A form with one-hot
targets has a meaning where the code

* returns a finite value with a gradient, and none of the findings that are errors;
* falls strictly from s = -3 to s = 1/2 and does not rise up to 1 (a hinge is content there), as every loss that rewards
  the right answer does, and raw outputs that are compared with 0 and 1 do not (they are best near s = 1/2);
* does not rise after that, unless it turns logits into probabilities itself (smoothed targets are best at a finite s),
  and does not fall without end;
* is given no probabilities if it has a meaning with logits: then it turns them into probabilities itself, and they
  would go through softmax or sigmoid twice.

With logits and class numbers, torch's convention, the findings alone decide. Where its value does not fall so, though,
and the code makes no probabilities of what it is given, it may have been written for them (Lovász-softmax, ``NLLLoss``
and what else is named after the last layer of a network): it is given log-probabilities or probabilities if it has a
meaning with these, those of the two with which its value is nearer to 0 at the right answer.

``auto`` takes the first form with a meaning in the order of ``forms_of``, with one exception: code that gives each
class a sigmoid of its own (adding a number to all logits, which changes no probability, changes its value) is better
given margins, whose sigmoids are the probabilities: of two classes the logit of class 1 over class 0, of more each
class's over all others. With plain logits such code trains sigmoids that do not exclude one another: a Dice over all
classes at once then settles where one class is answered everywhere, and is lower than before while the prediction, the
class of the largest logit, is worse. It is all a function of file, arguments, task and number of outputs, so that
check, training and a resumed run come to the same
form.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fine_tuner.config.sections.loss_inputs import forms_of
from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.losses.adapt import Adaptation, leave_out
from fine_tuner.losses.code import LossCode, LossFinding
from fine_tuner.losses.custom import LoadedLoss, load_code
from fine_tuner.losses.trials.attempt import attempt, without_compiler
from fine_tuner.losses.trials.sanity import check_sanity
from fine_tuner.losses.trials.synthetic import sure_output, synthetic_targets

FALLING = (-3.0, -1.0, 0.0, 0.5, 1.0)
TAIL = (3.0, 6.0, 12.0, 24.0, 48.0)
SETTLED = ((24.0, 48.0), (6.0, 12.0))  # where a value has ended its fall: the first of which it can be computed
MARGINS = (
    "margins_one_hot", "foreground_logit", "foreground_prob", "foreground_logit_squeezed", "foreground_prob_squeezed",
    "foreground_logit_both_squeezed", "foreground_prob_both_squeezed",
)  # fmt: skip
LEAST_FALL = 1e-6  # of the range of values between wrong and right
ENDLESS = 0.05  # of that range, over the sizes of SETTLED
SAME = 1e-4
OF_PROBS = ("log_probs", "probs")  # with class numbers
PIXELS = ("pixels", "pixels_one_hot")


@dataclass(frozen=True, kw_only=True, slots=True)
class LossUse:
    """What a loss of the user's is to serve, and what a person has settled of its form.

    Attributes:
        inputs: A form, or ``auto``.
        ignored: What becomes of pixels to ignore, or ``auto``.
    """

    task: str
    num_outputs: int
    ignore_index: int = 255
    inputs: str = "auto"
    ignored: str = "auto"

    @property
    def kind(self) -> TargetKind:
        """What an image is labelled with."""
        return target_kind(self.task)


@dataclass(frozen=True, kw_only=True, slots=True)
class Considered:
    """One form that was tried.

    Attributes:
        name: For people.
        why: Why it has a meaning, or none; the part of a sentence after "it".
    """

    inputs: str
    name: str
    has_meaning: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A user's loss with the form that it trains with.

    Attributes:
        reason: One sentence that says what was chosen and why.
        considered: Every form that was tried, the chosen one included; empty where the user chose.
    """

    loaded: LoadedLoss
    reason: str
    considered: tuple[Considered, ...]


def settle(code: LossCode, entry: str, arguments: str, use: LossUse) -> Settled:
    """Load a user's loss and decide what it is given.

    Args:
        code: The user's file, as it was read.
        entry: Name of the loss in it; empty takes the only one.
        arguments: As ``load_custom_loss``.
        use: What it is to serve.

    Raises:
        LossCodeError: As ``load_custom_loss``.
    """
    loaded = load_code(code, entry, arguments=arguments, num_outputs=use.num_outputs)
    uses_gpu = "cuda" in code.text and torch.cuda.is_available()  # it may move what it is given there by itself
    is_open = use.inputs == "auto" or (use.ignored == "auto" and use.kind is TargetKind.MASK)
    chosen, considered = _adaptation(use, use.inputs), ()
    if is_open:  # what a trial leaves behind, such as a count of calls, must not reach training
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), without_compiler(code):
            warnings.simplefilter("ignore")
            tried = load_code(code, loaded.entry, arguments=arguments, num_outputs=use.num_outputs)
            chosen, considered = _Trials(tried, use, "cuda" if uses_gpu else "cpu").run()
    loaded.module.adaptation = chosen
    return Settled(loaded=loaded, reason=_reason(use, chosen, considered), considered=considered)


def _adaptation(use: LossUse, inputs: str) -> Adaptation:
    ignored = use.ignored if use.ignored != "auto" else "given"
    form = inputs if inputs != "auto" else "as_is"
    return Adaptation(kind=use.kind, inputs=form, ignored=ignored, ignore_index=use.ignore_index)


def _reason(use: LossUse, chosen: Adaptation, considered: Sequence[Considered]) -> str:
    names = forms_of(use.task, use.num_outputs)
    name = names.get(chosen.inputs, names["as_is"])
    if use.inputs != "auto":
        return f"The code is given {name}, as you chose."
    found = next((c for c in considered if c.inputs == chosen.inputs), None)
    if found is None or not found.has_meaning:
        return f"No form has a meaning for this code, so it is given {name}."
    earlier = [c for c in considered[: considered.index(found)] if not c.has_meaning]
    before = f"; with {earlier[0].name} it {earlier[0].why}" if earlier else ""
    return f"The code is given {name}: with them it {found.why}{before}."


@dataclass(slots=True)
class _Outcome:
    """How one form fared: how far the code came, and how its value behaves.

    Attributes:
        makes_probs: The code applies a softmax or sigmoid.
        doubt: Of a form that the findings alone decide on: what speaks against it.
        at_right: Value for right and sure answers.
    """

    considered: Considered
    progress: int
    takes_logits: bool = False
    is_per_class: bool = False
    makes_probs: bool = False
    doubt: str = ""
    at_right: float = 0.0

    def deny(self, why: str) -> None:
        """Leave the form no meaning."""
        self.considered = dataclasses.replace(self.considered, has_meaning=False, why=why)


class _Trials:
    """The trials of one loss."""

    def __init__(self, loaded: LoadedLoss, use: LossUse, device: str) -> None:
        self.loaded, self.use, self.device = loaded, use, device
        loaded.module.to(device)
        self.about = {"task": use.task, "num_outputs": use.num_outputs}
        rng = torch.Generator().manual_seed(5)
        self.target = _targets(use, rng).to(device)
        shape = sure_output(self.target, scale=1.0, **self.about).shape
        self.output = torch.randn(shape, generator=rng).to(device)
        self.shift = 3 * torch.randn((shape[0], 1, *shape[2:]), generator=rng).to(device)

    def run(self) -> tuple[Adaptation, tuple[Considered, ...]]:
        """What the loss is to be given, and what was tried for it."""
        if self.use.inputs != "auto":
            chosen, considered = self._use(self.use.inputs), ()
        else:
            chosen, considered = self._choose()
        if self.use.kind is TargetKind.MASK and self.use.ignored == "auto":
            chosen = dataclasses.replace(chosen, ignored=self._ignored(chosen))
        return chosen, considered

    def _use(self, inputs: str) -> Adaptation:
        """Have the loss given this form from here on."""
        self.loaded.module.adaptation = _adaptation(self.use, inputs)
        return self.loaded.module.adaptation

    # ---------------------------------------------------------------- the form
    def _choose(self) -> tuple[Adaptation, tuple[Considered, ...]]:
        outcomes: list[_Outcome] = []
        for inputs, name in forms_of(self.use.task, self.use.num_outputs).items():
            takes_logits = any(o.takes_logits for o in outcomes if not inputs.startswith("foreground"))
            if inputs in OF_PROBS:
                continue  # tried with the logits
            if inputs == "margins_one_hot" and not any(o.is_per_class for o in outcomes):
                continue  # a number added to all logits changes no margin, so that a wrong axis could not be seen
            if inputs in PIXELS and any(o.progress for o in outcomes):
                continue  # code that runs otherwise has a mistake that is to be told, such as a softmax over a row
            outcomes.append(self._outcome(inputs, name, takes_logits))
            if inputs == "as_is":
                outcomes += self._instead_of_logits(outcomes[0])
            if any(o.considered.has_meaning and not o.is_per_class for o in outcomes):
                break
            if inputs.startswith("foreground_logit") and outcomes[-1].takes_logits:
                break
        fitting = [o for o in outcomes if o.considered.has_meaning]
        best = next((o for o in fitting if not o.is_per_class), None) or (fitting or [None])[0]
        if best is None:  # what is said of the code is told of the form in which it came farthest
            best = max(outcomes, key=lambda o: o.progress)
        return self._use(best.considered.inputs), tuple(o.considered for o in outcomes)

    def _instead_of_logits(self, with_logits: _Outcome) -> list[_Outcome]:
        """How class numbers with probabilities fare, where logits do not; a meaning is left to one form at most."""
        names = forms_of(self.use.task, self.use.num_outputs)
        is_sure = with_logits.makes_probs or (with_logits.considered.has_meaning and not with_logits.doubt)
        if is_sure or OF_PROBS[0] not in names:
            return []
        outcomes = [self._outcome(inputs, names[inputs], takes_logits=False) for inputs in OF_PROBS]
        fitting = sorted((o for o in outcomes if o.considered.has_meaning), key=lambda o: abs(o.at_right))
        for outcome in fitting[1:]:
            outcome.deny("is not 0 at the right answer")
        if fitting and with_logits.considered.has_meaning:
            with_logits.deny(with_logits.doubt)
        return outcomes

    def _outcome(self, inputs: str, name: str, takes_logits: bool) -> _Outcome:
        chosen = self._use(inputs)
        trial = attempt(self.loaded, self.output, self.target, task=self.use.task)
        makes_probs = trial.trace.has_activation

        def none(why: str, progress: int) -> _Outcome:
            considered = Considered(inputs=inputs, name=name, has_meaning=False, why=why)
            return _Outcome(considered, progress, makes_probs=makes_probs)

        if makes_probs and inputs in (*OF_PROBS, "probs_unsqueezed"):  # along which axis could not be seen
            return none("would apply softmax or sigmoid a second time", 0)
        if not trial.is_usable:
            return none(_told(trial.findings), 0 if any(f.kind == "raises" for f in trial.findings) else 1)
        findings = check_sanity(self.loaded, trial.trace, device=self.device, **self.about)
        if errors := [f for f in findings if f.level == "error"]:
            return none(_told(errors), 2)
        if self.use.kind is TargetKind.NUMBERS or (inputs == "as_is" and self.target.dtype == torch.int64):
            found = Considered(inputs=inputs, name=name, has_meaning=True, why="is least at the right answer")
            is_open = self.use.kind is not TargetKind.NUMBERS and not makes_probs
            doubt = self._why_no_meaning(has_activation=False) if is_open else None
            return _Outcome(found, 3, makes_probs=makes_probs, doubt=doubt or "")
        if why_not := self._why_unfit(findings, takes_logits=takes_logits):
            return none(why_not, 1)
        why_not = self._why_no_meaning(has_activation=makes_probs or chosen.gives_probs)
        if why_not:
            return none(why_not, 2)
        return self._fitting(inputs, name)

    def _fitting(self, inputs: str, name: str) -> _Outcome:
        """The outcome of a form in which the value falls as it should."""
        why = "falls all the way from wrong to right answers"
        outcome = _Outcome(Considered(inputs=inputs, name=name, has_meaning=True, why=why), 3)
        outcome.takes_logits = not self.loaded.module.adaptation.gives_probs
        if inputs in OF_PROBS:
            outcome.at_right = self._value(sure_output(self.target, scale=SETTLED[-1][-1], **self.about)) or 0.0
        if inputs == "logits_one_hot" and not self._is_shift_invariant():
            outcome.is_per_class = True
            why = f"{why}, each class against the rest, since it applies a sigmoid of its own"
            outcome.considered = dataclasses.replace(outcome.considered, why=why)
        elif inputs == "margins_one_hot":
            why = f"{why}, and the sigmoid that it applies to each class is the probability of that class"
            outcome.considered = dataclasses.replace(outcome.considered, why=why)
        return outcome

    def _why_unfit(self, findings: Sequence[LossFinding], *, takes_logits: bool) -> str | None:
        adaptation = self.loaded.module.adaptation
        if any(f.kind == "broadcast" for f in findings):
            return "pairs every value with every other"
        if self.use.kind is TargetKind.LABELS and not adaptation.makes_two_classes and self._is_blind_to_one_label():
            return "makes labels compete, and says of none whether it is there"
        is_raw = adaptation.inputs == "foreground_logit_both_squeezed" and any(f.kind == "raw_output" for f in findings)
        if is_raw:  # then the same shape with probabilities is what it was written for
            return "takes logits for probabilities, and its value never settles as they grow"
        if takes_logits and adaptation.gives_probs:
            return "would apply softmax or sigmoid a second time"
        return None

    def _why_no_meaning(self, *, has_activation: bool) -> str | None:
        share = 0.5 if self.loaded.module.adaptation.inputs in MARGINS else 1.0  # a margin is a difference of two
        values = {s: self._value(sure_output(self.target, scale=share * s, **self.about)) for s in (*FALLING, *TAIL)}
        if any(v is None for s, v in values.items() if abs(s) <= 3):
            return "fails for some answers"
        known = {s: v for s, v in values.items() if v is not None}
        spread = abs(known[FALLING[0]] - known[TAIL[0]])
        steps = itertools.pairwise(FALLING)
        # the last step may be flat: there a hinge is content
        least = {b: (-LEAST_FALL if b == FALLING[-1] else LEAST_FALL) * spread for b in FALLING}
        if spread == 0 or any(known[a] - known[b] <= least[b] for a, b in steps):
            return "is not least at the right answer"
        if known[TAIL[0]] - known[FALLING[-1]] > LEAST_FALL * spread and not has_activation:
            return "is least at outputs near 0 and 1, which logits are not"
        known = {s: v for s, v in known.items() if math.isfinite(v)}
        ends = [(a, b) for a, b in SETTLED if a in known and b in known]
        # with a softmax or sigmoid a small number beside a probability may be met only far out
        if any(known[a] - known[b] > ENDLESS * spread for a, b in (ends[:1] if has_activation else ends)):
            return "falls without end as logits grow"
        return None

    def _value(self, output: Tensor) -> float | None:
        return attempt(self.loaded, output, self.target, task=self.use.task).value

    def _is_blind_to_one_label(self) -> bool:
        """Whether labels are compared with each other alone, as a softmax over them does."""
        return self.use.num_outputs > 1 and self._is_shift_invariant()

    def _is_shift_invariant(self) -> bool:
        """Whether a number added to all logits of an image or pixel leaves the value as it is."""
        before, after = self._value(self.output), self._value(self.output + self.shift)
        return before is not None and after is not None and abs(before - after) <= SAME * (1e-3 + abs(before))

    # ------------------------------------------------------- pixels to ignore
    def _ignored(self, chosen: Adaptation) -> str:
        """How pixels to ignore are kept from the code, if it does not know their index itself."""
        if chosen.keeps_targets:
            some = self.target.clone()
            some[:, :2] = self.use.ignore_index
            trial = attempt(self.loaded, self.output, some, task=self.use.task)
            moved = self.output.clone()
            moved[:, :, :2] *= -1
            other = attempt(self.loaded, moved, some, task=self.use.task).value
            # code that runs may still take the index for an amount or a class that is always missed
            if trial.is_usable and other is not None and abs(trial.value - other) <= LEAST_FALL * (1e-3 + abs(other)):
                return "given"
        kept = self._value(self.output)
        row, wanted = leave_out(
            torch.cat([self.output, self.output[:1]]),
            torch.cat([self.target, torch.full_like(self.target[:1], self.use.ignore_index)]),
            self.use.ignore_index,
        )
        flat = attempt(self.loaded, row, wanted, task=self.use.task).value
        if kept is not None and flat is not None and abs(kept - flat) <= SAME * (1e-3 + abs(kept)):
            return "left_out"
        return "answered"  # also where what remains has no value


def _targets(use: LossUse, rng: torch.Generator) -> Tensor:
    """Targets in which every class occurs, of a shape without two equal sides, so that no wrong pairing fits."""
    outputs = use.num_outputs
    if use.kind is not TargetKind.MASK:
        batch = 2 * outputs + 1 if outputs > 2 else 7
        return synthetic_targets(use.task, outputs, batch=batch, size=8, rng=rng)
    side = max(8, int(outputs**0.5) + 1)
    while side in (5, outputs):
        side += 1
    batch = 5 if outputs != 5 else 7
    return synthetic_targets(use.task, outputs, batch=batch, size=side, rng=rng)[:, :, : side - 1].contiguous()


def _told(findings: Sequence[LossFinding]) -> str:
    """The first error as the part of a sentence after "it"."""
    what = next(f.what for f in findings if f.level == "error")
    if what.startswith("the loss fails, "):  # shapes that do not fit, as a rule; the finding has the whole of it
        return "fails"
    return what.removeprefix("the loss ") if what.startswith("the loss ") else f"has an error: {what}"
