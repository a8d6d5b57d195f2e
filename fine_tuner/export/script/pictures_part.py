"""The pictures of a script: reading, augmentation, order, mixing, targets."""

from __future__ import annotations

from fine_tuner.config.tasks import TargetKind, target_kind
from fine_tuner.data.files.images import turned_upright
from fine_tuner.data.loading import transforms
from fine_tuner.data.loading.batches import balanced_order
from fine_tuner.data.loading.mixing import Mixer
from fine_tuner.data.loading.randomness import randomness_of
from fine_tuner.data.mask_coding import MaskCoding
from fine_tuner.export.script import replay_pictures as replay
from fine_tuner.export.script.bundle import Bundle
from fine_tuner.export.script.run import Run
from fine_tuner.models.build import find_preprocessing
from fine_tuner.models.preprocessing import Preprocessing

_TRANSFORM = '''def build_transform(*, train: bool) -> {kind}:
    """From a picture to what the network sees; with random changes if it is to ``train``."""
    changes = {augment!r} if train else "none"
    mode = InterpolationMode({interpolation!r})
    steps = {steps}
    return {kind}(steps, mean={mean}, std={std}, colour={colour} if train else 0.0{least})'''
_CLASS = '''def target_of(row: dict[str, Any], root: Path, size: tuple[int, int]) -> Tensor:
    """The class of a picture."""
    return torch.tensor(row["target"], dtype=torch.int64)'''
_NUMBERS = '''def target_of(row: dict[str, Any], root: Path, size: tuple[int, int]) -> Tensor:
    """The numbers, or the labels as 0 and 1, of a picture."""
    return torch.tensor(row["target"], dtype=torch.float32)'''
_MASK = '''CODING = {coding}


def target_of(row: dict[str, Any], root: Path, size: tuple[int, int]) -> np.ndarray:
    """The class of every pixel, of a picture of this width and height."""
    path = root / row["mask"]
    mask = CODING.classes_of(load_mask_values(path, as_colours=CODING.is_colours), path)
{turn}    if mask.shape != size[::-1]:
        mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return mask'''
_TURN = """    with Image.open(root / row["image"]) as picture:
        mask = turned_upright(mask, picture.getexif().get(0x0112, 1), size)
"""
_NATURAL = '''def order_of(epoch: int) -> list[int]:
    """The training pictures of an epoch, in order."""
    return epoch_order(len(FILES["train"]), SEED, epoch)'''
_BALANCED = '''def order_of(epoch: int) -> list[int]:
    """The training pictures of an epoch, in order: every class equally often."""
    classes = torch.tensor([row["target"] for row in FILES["train"]])
    by_class = [torch.nonzero(classes == k).flatten() for k in classes.unique()]
    generator = torch.Generator().manual_seed(seed_of(SEED, epoch))
    order = torch.randperm(len(classes), generator=generator)
    return balanced_order(by_class, len(classes), generator)[order].tolist()'''
_UNMIXED = '''def mixed(images: Tensor, targets: Tensor, keys: list[PictureKey]) -> tuple[Tensor, Tensor]:
    """Nothing is mixed in this run."""
    return images, targets'''
_MIXED = '''MIXER = Mixer({kind!r}, {alpha!r})


def mixed(images: Tensor, targets: Tensor, keys: list[PictureKey]) -> tuple[Tensor, Any]:
    """Each image mixed with another one of the batch; how is a function of seed, epoch and the images in it."""
    with randomness_of(SEED, keys[0][1], *(index for index, _ in keys)):
        return MIXER(images, targets)'''


def pictures_part(run: Run, bundle: Bundle) -> str:
    """Definitions, ``build_transform``, ``target_of``, ``order_of`` and ``mixed``."""
    settings = run.settings
    parts = [bundle.take(replay.load_picture, replay.Pictures), *_transform(run, bundle)]
    if target_kind(settings.task) is TargetKind.MASK:
        parts.append(bundle.take(MaskCoding, replay.load_mask_values))
        is_stored = run.data.mask_coding is not None and run.data.mask_coding.is_stored
        if is_stored:
            parts.append(bundle.take(turned_upright))
        parts.append(_MASK.format(coding=run.data.mask_coding, turn=_TURN if is_stored else ""))
    else:
        parts.append(_CLASS if target_kind(settings.task) is TargetKind.CLASS else _NUMBERS)
    if settings.data.sampling == "balanced" and target_kind(settings.task) is TargetKind.CLASS:
        parts += [bundle.take(balanced_order), _BALANCED]
    else:
        parts += [bundle.take(replay.epoch_order), _NATURAL]
    if settings.augment.mix != "none" and target_kind(settings.task) is TargetKind.CLASS:
        parts.append(bundle.take(Mixer, randomness_of))
        parts.append(_MIXED.format(kind=settings.augment.mix, alpha=settings.augment.mix_alpha))
    else:
        parts.append(_UNMIXED)
    return "\n\n\n".join(part for part in parts if part)


def _transform(run: Run, bundle: Bundle) -> list[str]:
    settings, sizes = run.settings, preprocessing_of(run)
    made = transforms.build_transforms(
        augment=settings.augment.name, flip=settings.augment.flip, train=True, task=settings.task, **sizes.to_dict()
    )
    size, fill = sizes.image_size, tuple(round(255 * m) for m in sizes.mean)
    shared = f"mode, {{}}{settings.augment.flip})"
    match target_kind(settings.task):
        case TargetKind.MASK:
            build, arguments = transforms._segmentation, f"changes, {size}, " + shared.format(f"{fill}, ")
        case TargetKind.CLASS:
            arguments = f"changes, {size}, {sizes.resize_size}, " + shared.format("")
            build = transforms._classification
        case _:
            build, arguments = transforms._whole_picture, f"changes, {size}, " + shared.format(f"{fill}, ")
    deep = "" if run.data.pixel_range is None else f", pixel_range={run.data.pixel_range}"
    kind = type(made)
    colour = made._colour.strength if made._colour is not None else 0.0
    least = "" if made.min_side_px is None else ", min_side_px=" + _least(run, sizes, made.min_side_px)
    text = _TRANSFORM.format(
        kind=kind.__name__, augment=settings.augment.name, interpolation=sizes.interpolation,
        steps=f"{build.__name__}({arguments}", mean=sizes.mean, std=sizes.std, colour=colour, least=least + deep,
    )  # fmt: skip
    return [bundle.take(build, kind), text]


def _least(run: Run, sizes: Preprocessing, train_px: int) -> str:
    plain = transforms.build_transforms(augment="none", train=False, task=run.settings.task, **sizes.to_dict())
    return str(train_px) if plain.min_side_px == train_px else f"{train_px} if train else {plain.min_side_px}"


def preprocessing_of(run: Run) -> Preprocessing:
    """As the run's weights say; of a run without any, as its network would want it."""
    if "preprocessing" in run.about:
        return Preprocessing.from_dict(run.about["preprocessing"])
    settings = run.settings
    return find_preprocessing(
        settings.model.name, task=settings.task, weights=settings.model.weights, image_size=settings.data.image_size
    )
