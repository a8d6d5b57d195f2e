"""Settings of the data and of the random changes of its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
from pydantic import BeforeValidator

from fine_tuner.config.knobs import STRICT, Knob
from fine_tuner.config.tasks import TargetKind, tasks_with

SAMPLE_DATA = "builtin:sample"

_OF_TABLES = (("task", tasks_with(TargetKind.CLASS, TargetKind.LABELS, TargetKind.NUMBERS)),)
_OF_CLASSES = (("task", tasks_with(TargetKind.CLASS)),)
_OF_MASKS = (("task", tasks_with(TargetKind.MASK)),)


def _as_numbers(value: object) -> object:
    """``11`` and ``"0,255"`` as ``[11]`` and ``[0, 255]``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str) and (parts := value.strip("[]() ").split(",")):
        return [int(part) if part.strip().lstrip("-").isdigit() else part for part in parts]
    return value


_NUMBERS = BeforeValidator(_as_numbers)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which images, how they are split, how large they are shown to the network."""

    __pydantic_config__ = STRICT
    path: Annotated[
        str,
        Knob(
            label="Data",
            help="A folder of class folders (or train/ and val/ with such), of images/ and masks/, or with a table; "
            "a zip of it; torchvision:NAME; or builtin:sample, which the app makes.",
            widget="path",
        ),
    ] = SAMPLE_DATA
    val_fraction: Annotated[
        float,
        at.Gt(0),
        at.Lt(1),
        Knob(label="Validation share", help="Share of the images kept for validation where the data has no val split."),
    ] = 0.2
    image_size: Annotated[
        int | None,
        at.Ge(16),
        at.Le(2048),
        Knob(
            label="Image size",
            help="Side of the square the network sees; empty: chosen for the weights and the data.",
            unit="px",
        ),
    ] = None
    layout: Annotated[
        Literal["auto", "classes", "table", "masks", "objects"],
        Knob(
            label="Layout",
            help="How the data lies there, if it is not recognised: class folders, a table, images with "
            "masks, or objects of detection data (COCO, YOLO, VOC).",
        ),
    ] = "auto"
    label_columns: Annotated[
        str,
        Knob(
            label="Label columns",
            help="Columns of the table to learn, with commas between them: one for classification, one or several for "
            "labels and numbers; empty: found.",
            when=_OF_TABLES,
            advanced=True,
        ),
    ] = ""
    file_column: Annotated[
        str,
        Knob(
            label="File column",
            help="Column of the table that names the images; empty: found.",
            when=_OF_TABLES,
            advanced=True,
        ),
    ] = ""
    split_column: Annotated[
        str,
        Knob(
            label="Split column",
            help="Column of the table that says train, val or test; empty: found; none: do not use it.",
            when=_OF_TABLES,
            advanced=True,
        ),
    ] = ""
    group_column: Annotated[
        str,
        Knob(
            label="Group column",
            help="Images with the same text in this column stay in one split, such as a patient's; empty: none.",
            when=_OF_TABLES,
            advanced=True,
        ),
    ] = ""
    class_names: Annotated[
        str,
        Knob(
            label="Class names",
            help="Names of the classes of the masks, with commas, in the order of their values; empty: from "
            "classes.txt or the values.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = ""
    mask_values: Annotated[
        tuple[int, ...] | None,
        _NUMBERS,
        Knob(
            label="Mask values",
            help="Values in the mask files, one per class in order; empty: found in the masks.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = None
    mask_ignore: Annotated[
        tuple[int, ...] | None,
        _NUMBERS,
        Knob(
            label="Ignored values",
            help="Pixels with these values in the masks count neither in the loss nor in the metrics.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = None
    mask_unknown: Annotated[
        Literal["stop", "ignore", "nearest"],
        Knob(
            label="Other values",
            help="Mask values that are no class: stop and name them, ignore such pixels, or take the nearest class.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = "stop"
    mask_resize: Annotated[
        bool,
        Knob(
            label="Resize masks",
            help="Bring a mask whose size differs from its image's to that size, by nearest neighbour.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = False
    colour_table: Annotated[
        str,
        Knob(
            label="Colour table",
            help="File with the name and the colour (r, g, b) of each class for masks in colours; empty: found.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = ""
    sampling: Annotated[
        Literal["natural", "balanced"],
        Knob(
            label="Sampling",
            help="natural: every image once per epoch; balanced: all classes equally often, rare images repeated.",
            when=(("task", tasks_with(TargetKind.CLASS)),),
            advanced=True,
        ),
    ] = "natural"
    on_unreadable: Annotated[
        Literal["stop", "skip"],
        Knob(label="Unreadable images", help="Stop before training and name them, or leave them out.", advanced=True),
    ] = "stop"
    on_missing: Annotated[
        Literal["stop", "skip"],
        Knob(
            label="Missing labels",
            help="Images without label or mask, and labels without image: stop and name them, or leave them out.",
            advanced=True,
        ),
    ] = "stop"
    duplicates: Annotated[
        Literal["keep", "drop"],
        Knob(
            label="Duplicates",
            help="drop: leave out of train every image that val or test holds as well, exactly or nearly.",
            advanced=True,
        ),
    ] = "keep"
    on_contradiction: Annotated[
        Literal["stop", "skip", "keep"],
        Knob(
            label="Contradicting labels",
            help="Equal files with different labels: stop and name them, leave all of them out, or keep them.",
            when=(("task", tasks_with(TargetKind.CLASS, TargetKind.LABELS)),),
            advanced=True,
        ),
    ] = "stop"
    class_level: Annotated[
        Literal["outer", "inner"],
        Knob(
            label="Class level",
            help="Where class folders hold folders: the outer ones are the classes, or the inner ones, those of one "
            "name together (colour/healthy and grey/healthy).",
            when=_OF_CLASSES,
            advanced=True,
        ),
    ] = "outer"
    group_by_name: Annotated[
        bool,
        Knob(
            label="Group by name",
            help="Images stay in one split with those of the same folder below their class (a patient), else with "
            "those whose names differ in the last number only (frames of a video) or go on where another's ends "
            "(x, x_rot).",
            advanced=True,
        ),
    ] = False
    masks_beside: Annotated[
        Literal["recognise", "ignore"],
        Knob(
            label="Masks beside pictures",
            help="Files named as masks of a picture in the same folder (x.png, x_mask.png): recognise them, or take "
            "them for pictures.",
            advanced=True,
        ),
    ] = "recognise"
    decisions: Annotated[
        str,
        Knob(
            label="Decisions on images",
            help="A table of images to leave out or to give another class, as the suspected label errors of a run "
            "write it; the files themselves stay.",
            advanced=True,
        ),
    ] = ""
    image_folder: Annotated[
        str,
        Knob(
            label="Image folder",
            help="Folder of the images below the data's, where it is not recognised; {split} stands for train, val or "
            "test.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = ""
    mask_folder: Annotated[
        str,
        Knob(
            label="Mask folder",
            help="Folder of the masks below the data's, where it is not recognised; {split} stands for train, val or "
            "test.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = ""
    mask_orientation: Annotated[
        Literal["auto", "upright", "stored"],
        Knob(
            label="Masks of turned photos",
            help="Masks fit the photo upright, or as the camera stored it (turned with it); auto: told by their sizes.",
            when=_OF_MASKS,
            advanced=True,
        ),
    ] = "auto"
    encoding: Annotated[
        str,
        Knob(
            label="Text encoding",
            help="Of the names in a zip and of the text of a table, such as gbk, shift_jis or cp1252; empty: told by "
            "the text.",
            advanced=True,
        ),
    ] = ""
    pixel_range: Annotated[
        tuple[int, ...] | None,
        _NUMBERS,
        Knob(
            label="Range of deep pixels",
            help="Black and white of pictures of more than 8 bits, such as [0,4095]; empty: measured over the data.",
            advanced=True,
        ),
    ] = None
    num_workers: Annotated[
        int | None,
        at.Ge(0),
        at.Le(64),
        Knob(
            label="Loading processes",
            help="Processes that read and augment images; empty: chosen for the machine.",
            advanced=True,
        ),
    ] = None
    decoded_mib: Annotated[
        int,
        at.Ge(0),
        at.Le(1 << 20),
        Knob(
            label="Room for decoded pictures",
            help="Pictures of all runs are kept decoded in the cache folder, so that each is decoded once, not in "
            "every epoch; the pixels are the same. What was used longest ago makes room; 'fine-tuner decoded --delete' "
            "frees all. 0: none are kept.",
            unit="MiB",
            advanced=True,
        ),
    ] = 4096


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Random changes of the training images."""

    __pydantic_config__ = STRICT
    name: Annotated[
        Literal["none", "light", "standard", "strong"],
        Knob(
            label="Augmentation",
            help="Random changes of training images. Light: flip and small crop; standard: larger crop and colour as "
            "well; strong: TrivialAugment too.",
        ),
    ] = "standard"
    flip: Annotated[
        bool,
        Knob(
            label="Mirror",
            help="Mirror images left to right at random; off where it changes the meaning, such as for text.",
            unless=(("augment.name", ("none",)),),
            advanced=True,
        ),
    ] = True
    mix: Annotated[
        Literal["none", "mixup", "cutmix", "both"],
        Knob(
            label="Mix images",
            help="Train on two pictures in one, with the loss of both in proportion; steadies long runs on few images.",
            when=(("task", tasks_with(TargetKind.CLASS)),),
            advanced=True,
        ),
    ] = "none"
    mix_alpha: Annotated[
        float,
        at.Gt(0),
        at.Le(10),
        Knob(
            label="Mixing strength",
            help="Alpha of the Beta distribution of the shares; 1 is uniform, less keeps one picture dominant.",
            when=(("task", tasks_with(TargetKind.CLASS)), ("augment.mix", ("mixup", "cutmix", "both"))),
            advanced=True,
        ),
    ] = 1.0
