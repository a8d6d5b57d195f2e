"""The full check of a data set before training: every image decoded, every mask read, twins looked for.

Nothing of the user's is changed; remedies are settings. Facts about files are remembered, so that a second check, or a
run with ``data.on_unreadable=skip``, starts where the first one ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import OnProgress, no_progress
from fine_tuner.base.text import counted, some
from fine_tuner.config.tasks import DEFAULT_TASK, TargetKind, target_kind
from fine_tuner.data.checks.findings import NUM_EXAMPLES, DataFinding, Example, Report
from fine_tuner.data.duplicates import train_duplicates
from fine_tuner.data.files.image_scan import ImageFacts, Twins, find_twins, scan_images
from fine_tuner.data.notices import Level, MendableError, Notice, Remedy
from fine_tuner.data.options import Problem, ReadOptions
from fine_tuner.data.readers.recognise import Glance, glance_at
from fine_tuner.data.records import DataSplits, Record
from fine_tuner.data.sources import is_settled as is_settled_by_choice
from fine_tuner.data.sources import take_survey

_LEVELS = ("error", "warning", "note")


def check_data(
    path: str,
    *,
    task: str | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
    batch_size: int | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> Report:
    """Everything that is wrong with a data set; never raises for bad data, an error becomes a finding.

    Args:
        path: As ``data.path``.
        task: What it is to be used for; None: what it seems to be made for.
        val_fraction: Share of validation where the data has no val split.
        seed: Decides that split.
        batch_size: To warn of a last batch of one image.
        progress: Called as ``progress(what, done, total)``; an exception from it ends the check and passes through.
        **options: Fields of ``ReadOptions``, as chosen so far; what they settle is no error any more.
    """
    begun = time.monotonic()
    progress = progress or no_progress
    chosen = ReadOptions(**options)
    glance = glance_or_none(path, progress, chosen)
    likely = glance and glance.task
    wanted = task or likely or DEFAULT_TASK
    try:
        data, problems = _read(path, wanted, val_fraction, seed, chosen, progress)
    except DataError as error:
        findings = [unusable(error, wanted, likely)]
        return replace(_report(path, wanted, likely, None, {}, findings, begun), kind=glance.words if glance else "")
    images = [r.image for records in data.splits.values() for r in records]
    facts = scan_images(images, progress)
    findings = about_problems([*problems, *_undecodable(facts, problems)], chosen)
    findings += about_notices(data.notices)
    findings += about_twins(data, find_twins(images, facts, progress), chosen)
    findings += about_classes(data)
    findings += about_sizes(facts)
    findings += about_orientation(data, facts, is_asked=any(p.kind == "turned_mask" for p in problems))
    findings += about_batches(data, batch_size)
    return _report(path, wanted, likely, data, facts, findings, begun)


def glance_or_none(path: str, progress: OnProgress, options: ReadOptions) -> Glance | None:
    """What the data seems to be; None if it cannot be told."""
    try:
        return glance_at(path, progress, options)
    except DataError:
        return None


def _read(
    path: str, task: str, val_fraction: float, seed: int, options: ReadOptions, progress: OnProgress
) -> tuple[DataSplits, tuple[Problem, ...]]:
    lenient = replace(options, duplicates="keep")  # twins are reported, so they must be seen
    survey = take_survey(path, task=task, val_fraction=val_fraction, seed=seed, options=lenient, progress=progress)
    return survey.data, survey.problems


def _undecodable(facts: Mapping[Path, ImageFacts], problems: Sequence[Problem]) -> list[Problem]:
    """Images whose damage only shows when they are decoded."""
    known = {p.file for p in problems}
    return [
        Problem("unreadable", fact["error"], path)
        for path, fact in facts.items()
        if "error" in fact and path not in known
    ]


def unusable(error: DataError, task: str, likely: str | None) -> DataFinding:
    """That data cannot be read for ``task``; with what would mend it, the ``likely`` task too."""
    remedies = (Remedy(f"choose task {likely}", {"task": likely}),) if likely not in (None, task) else ()
    text = str(error)
    if isinstance(error, MendableError):
        text, remedies = error.what, (*error.remedies, *remedies)
    return DataFinding("unusable", "error", text, 1, (), remedies)


def about_notices(notices: Sequence[Notice]) -> list[DataFinding]:
    """What reading decided and a setting would decide otherwise."""
    return [DataFinding(n.code, n.level, n.text, 1, (), n.remedies) for n in notices if n.code]


def _report(
    path: str,
    task: str,
    likely: str | None,
    data: DataSplits | None,
    facts: Mapping[Path, ImageFacts],
    findings: Sequence[DataFinding],
    begun: float,
) -> Report:
    readable = [fact for fact in facts.values() if "error" not in fact]
    return Report(
        path=path,
        task=task,
        likely_task=likely,
        kind=data.kind if data else "",
        notices=tuple(n.text for n in data.notices if not n.code) if data else (),
        splits={split: len(records) for split, records in data.splits.items()} if data else {},
        classes=_class_rows(data) if data else (),
        numbers=_number_rows(data) if data else (),
        sizes=_sizes(readable),
        formats=dict(Counter(f"{fact['format']} {fact['mode']}" for fact in readable).most_common()),
        findings=worst_first(findings),
        seconds=round(time.monotonic() - begun, 2),
    )


def worst_first(findings: Sequence[DataFinding]) -> tuple[DataFinding, ...]:
    """Errors, warnings, notes; in the order given among each."""
    return tuple(sorted(findings, key=lambda finding: _LEVELS.index(finding.level)))


def _class_rows(data: DataSplits) -> tuple[Mapping[str, Any], ...]:
    if target_kind(data.task) is TargetKind.MASK:
        return tuple(
            {"name": name, "pixels of train": count}
            for name, count in zip(data.classes, data.class_counts("train") or (), strict=False)
        )
    counts = {split: data.class_counts(split) for split in data.splits}
    return tuple({"name": name, **{s: n[i] for s, n in counts.items() if n}} for i, name in enumerate(data.classes))


def _number_rows(data: DataSplits) -> tuple[Mapping[str, Any], ...]:
    if target_kind(data.task) is not TargetKind.NUMBERS:
        return ()
    columns = zip(*(r.target for r in data.splits["train"]), strict=True)
    rows = zip(data.target_names, columns, data.target_mean_and_sd() or (), strict=True)
    return tuple(
        {"name": name, "min": min(values), "max": max(values), "mean": mean, "sd": sd}
        for name, values, (mean, sd) in rows
    )


def _sizes(facts: Sequence[ImageFacts]) -> dict[str, Any]:
    if not facts:
        return {}
    sizes = np.array([fact["size"] for fact in facts])
    common = Counter(tuple(fact["size"]) for fact in facts).most_common(5)
    spread = {
        name: {"min": int(side.min()), "median": int(np.median(side)), "max": int(side.max())}
        for name, side in zip(("width", "height"), sizes.T, strict=True)
    }
    return {**spread, "common": [{"width": w, "height": h, "images": n} for (w, h), n in common]}


# ------------------------------- the rules: each looks at one side of the data
_RARE_FACTOR = 10  # a class with a tenth of the images of the largest one is called rare
_FEW_IMAGES = 10
_SMALL_PX = 32

_OF_KIND: Mapping[str, tuple[str, str, tuple[Remedy, ...]]] = {
    "unreadable": (
        "image that cannot be read", "images that cannot be read",
        (Remedy("leave them out", {"data.on_unreadable": "skip"}),),
    ),
    "missing_label": (
        "image without a usable label", "images without a usable label",
        (Remedy("leave them out", {"data.on_missing": "skip"}),),
    ),
    "missing_image": (
        "label without its image", "labels without their image",
        (Remedy("leave them out", {"data.on_missing": "skip"}),),
    ),
    "image_alone": (
        "image without a mask", "images without a mask",
        (Remedy("leave them out", {"data.on_missing": "skip"}),),
    ),
    "mask_alone": (
        "mask without its image", "masks without their image",
        (Remedy("leave them out", {"data.on_missing": "skip"}),),
    ),
    "extra_class": (
        "image of a class that train lacks", "images of a class that train lacks",
        (Remedy("leave them out", {"data.on_missing": "skip"}),),
    ),
    "contradiction": (
        "equal file with another label", "equal files with different labels",
        (
            Remedy("leave both out", {"data.on_contradiction": "skip"}),
            Remedy("keep both", {"data.on_contradiction": "keep"}),
        ),
    ),
    "conflict": (
        "row that contradicts another", "rows that contradict another",
        (Remedy("keep the first row of each image", {"data.on_missing": "skip"}),),
    ),
    "turned_mask": (
        "mask that may be turned with its picture", "masks that may be turned with their pictures",
        (
            Remedy("turn the masks with their pictures", {"data.mask_orientation": "stored"}),
            Remedy("take the masks as upright", {"data.mask_orientation": "upright"}),
        ),
    ),
    "size_mismatch": (
        "mask of another size than its image", "masks of another size than their image",
        (Remedy("bring them to the size of the image, by nearest neighbour", {"data.mask_resize": True}),),
    ),
    "unknown_value": (
        "value in the masks that is no class", "values in the masks that are no class",
        (
            Remedy("ignore such pixels", {"data.mask_unknown": "ignore"}),
            Remedy("take the class of the nearest value", {"data.mask_unknown": "nearest"}),
        ),
    ),
}  # fmt: skip


def about_problems(problems: Sequence[Problem], options: ReadOptions) -> list[DataFinding]:
    """What cannot be used; an error, unless the user chose to live with it."""
    out = []
    for kind, (one, several, remedies) in _OF_KIND.items():
        found = [p for p in problems if p.kind == kind]
        if found:
            is_settled = is_settled_by_choice(kind, options)
            level: Level = "note" if is_settled else "error"
            text = f"{counted_as(len(found), one, several)}{', dealt with as chosen' if is_settled else ''}."
            shown = tuple(Example(p.message, (str(p.file),) if p.file else ()) for p in found[:NUM_EXAMPLES])
            out.append(DataFinding(kind, level, text, len(found), shown, () if is_settled else remedies))
    return out


def counted_as(number: int, one: str, several: str) -> str:
    """``1 image that ...`` or ``2 images that ...``."""
    return f"{number:,} {one if number == 1 else several}"


# ------------------------------------------------------------------- twins
def about_twins(data: DataSplits, twins: Sequence[Twins], options: ReadOptions) -> list[DataFinding]:
    """Pictures that are there twice: in two splits, with two labels, or merely twice."""
    places = [(split, r) for split, records in data.splits.items() for r in records]
    across, contradictory, within = [], [], []
    for pair in twins:
        (one_split, one), (other_split, other) = places[pair.first], places[pair.second]
        how = "equal files" if pair.is_exact else "nearly the same picture"
        example = Example(
            f"{_short(one, data)} ({one_split}) and {_short(other, data)} ({other_split}): {how}",
            (str(one.image), str(other.image)),
        )
        if one_split != other_split:
            across.append(example)
        are_labels = isinstance(one.target, int) or (pair.is_exact and isinstance(one.target, tuple))
        if are_labels and one.target != other.target:  # numbers of a picture taken twice may well differ a little
            contradictory.append(example)
        elif one_split == other_split:
            within.append(example)
    drop = Remedy("leave them out of train", {"data.duplicates": "drop"})
    num_shared = len(train_duplicates(data, twins))
    out = []
    if across:
        is_settled = options.duplicates == "drop"
        count = num_shared or len(across)
        text = f"{counted_as(count, 'picture is', 'pictures are')} in two splits, exactly or nearly: "
        text += "left out of train, as chosen." if is_settled else "validation looks better than the network is."
        remedies = () if is_settled else (drop,)
        out.append(DataFinding("duplicates_across", "note" if is_settled else "warning", text, count,
                           tuple(across[:NUM_EXAMPLES]), remedies))  # fmt: skip
    if contradictory:
        text = f"{counted_as(len(contradictory), 'picture is', 'pictures are')} there twice with different labels."
        out.append(
            DataFinding(
                "duplicates_contradict", "warning", text, len(contradictory), tuple(contradictory[:NUM_EXAMPLES])
            )
        )
    if within:
        text = f"{counted_as(len(within), 'picture is', 'pictures are')} there twice within a split."
        out.append(DataFinding("duplicates_within", "note", text, len(within), tuple(within[:NUM_EXAMPLES])))
    return out


def _short(record: Record, data: DataSplits) -> str:
    path = record.image
    return path.relative_to(data.root).as_posix() if path.is_relative_to(data.root) else path.name


# ----------------------------------------------------------------- classes
def about_classes(data: DataSplits) -> list[DataFinding]:
    """Classes that are rare, few, or absent from a split; numbers that never change."""
    if target_kind(data.task) is TargetKind.NUMBERS:
        return [
            DataFinding(
                "constant_number", "warning", f"{name} is {mean:g} in every training image: nothing to learn.", 1
            )
            for name, (mean, sd) in zip(data.target_names, data.target_mean_and_sd() or (), strict=True)
            if sd == 0
        ]
    counts = data.class_counts("train")
    if not counts:
        return []
    unit = "pixels" if target_kind(data.task) is TargetKind.MASK else "images"
    out = []
    largest = max(counts)
    rare = [i for i, n in enumerate(counts) if n * _RARE_FACTOR <= largest]
    if rare:
        names = ", ".join(f"{data.classes[i]} ({counts[i]:,})" for i in rare[:NUM_EXAMPLES])
        text = f"{counted_as(len(rare), 'class has', 'classes have')} less than a tenth of the {unit} of the largest: "
        text += names + (", ..." if len(rare) > NUM_EXAMPLES else ".")
        out.append(DataFinding("imbalance", "warning", text, len(rare), (), _against_imbalance(data)))
    few = [data.classes[i] for i, n in enumerate(counts) if n < _FEW_IMAGES]
    if few and unit == "images":
        text = f"{counted_as(len(few), 'class has', 'classes have')} fewer than {_FEW_IMAGES} training images: "
        text += some(few, NUM_EXAMPLES) + ("." if len(few) <= NUM_EXAMPLES else "")
        out.append(DataFinding("few_images", "warning", text, len(few)))
    return out


def _against_imbalance(data: DataSplits) -> tuple[Remedy, ...]:
    weights = Remedy("weigh classes in the loss", {"loss.class_weights": "balanced"})
    if target_kind(data.task) is TargetKind.CLASS:
        return (Remedy("show all classes equally often", {"data.sampling": "balanced"}), weights)
    return (weights,) if target_kind(data.task) is TargetKind.MASK else ()


# -------------------------------------------------------- sizes, EXIF, batch
def about_sizes(facts: Mapping[Path, ImageFacts]) -> list[DataFinding]:
    """Pictures that are tiny."""
    tiny = [
        (path, fact["size"]) for path, fact in facts.items() if "error" not in fact and min(fact["size"]) < _SMALL_PX
    ]
    if not tiny or np.median([min(f["size"]) for f in facts.values() if "error" not in f]) < _SMALL_PX:
        return []  # a set of icons is meant to be so
    shown = tuple(Example(f"{p} is {w} x {h} pixels", (str(p),)) for p, (w, h) in tiny[:NUM_EXAMPLES])
    text = f"{counted_as(len(tiny), 'image has', 'images have')} a side shorter than {_SMALL_PX} pixels."
    return [DataFinding("tiny", "note", text, len(tiny), shown)]


def about_orientation(
    data: DataSplits, facts: Mapping[Path, ImageFacts], *, is_asked: bool = False
) -> list[DataFinding]:
    """Pictures that a camera stored turned; they are turned back when read.

    Args:
        data: The set.
        facts: What is known of each picture.
        is_asked: Whether another finding asks how the masks were drawn, so that nothing is said of them here.
    """
    turned = [path for path, fact in facts.items() if fact.get("turned")]
    if not turned:
        return []
    text = f"{counted(len(turned), 'image')} stored turned (EXIF) and turned upright when read"
    if target_kind(data.task) is TargetKind.MASK and not is_asked:
        is_stored = data.mask_coding is not None and data.mask_coding.is_stored
        text += ", with the masks" if is_stored else "; the masks are taken as upright"
    text += "."
    return [
        DataFinding("exif", "note", text, len(turned), tuple(Example(str(p), (str(p),)) for p in turned[:NUM_EXAMPLES]))
    ]


def about_batches(data: DataSplits, batch_size: int | None) -> list[DataFinding]:
    """A last batch of a single image, on which BatchNorm cannot train."""
    count = len(data.splits["train"])
    if not batch_size or batch_size == 1 or count <= batch_size or count % batch_size != 1:
        return []
    text = (
        f"{count:,} training images in batches of {batch_size} leave a last batch of one, on which BatchNorm cannot "
        "train: it is left out, another image in each epoch."
    )
    settings = {"train.batch_size": _better_batch_size(count, batch_size)}
    return [
        DataFinding("last_batch", "note", text, 1, (), (Remedy("choose the nearest batch size without it", settings),))
    ]


def _better_batch_size(count: int, batch_size: int) -> int:
    """The batch size nearest below that leaves no batch of one."""
    return next((size for size in range(batch_size - 1, 1, -1) if count % size != 1), batch_size + 1)
