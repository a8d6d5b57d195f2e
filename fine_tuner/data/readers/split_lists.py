"""Lists of the pictures of each split, as Pascal VOC and CVAT write them: ``ImageSets/Segmentation/train.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fine_tuner.data.files.folders import check_reach, composed, visible_files
from fine_tuner.data.options import split_named

SPLIT_LISTS = "ImageSets"
_KINDS = ("Segmentation", "Main", ".")


@dataclass(frozen=True)
class SplitLists:
    """Which picture is in which split.

    Attributes:
        folder: Where the lists lie.
        splits: Stem of a picture to its split.
    """

    folder: Path
    splits: dict[str, str]

    def split_of(self, image: Path) -> str | None:
        """The split of ``image``; None if no list names it."""
        return self.splits.get(composed(image.stem))


def read_split_lists(root: Path) -> SplitLists | None:
    """The lists below ``root``; None if there are none that divide into train and another split.

    A picture that several lists name (VOC's ``trainval``) is in val before test before train.
    """
    for folder in (*(root / SPLIT_LISTS / kind for kind in _KINDS), root):
        if not folder.is_dir():
            continue
        splits: dict[str, str] = {}
        lists = {f.stem.lower(): f for f in visible_files(folder, ".txt")}
        names = ["trainval", "train", "training", "test", "testing", "val", "valid", "validation"]
        for name in names:  # the later wins
            split = split_named(name)
            if name in lists and split is not None:
                check_reach(lists[name])
                for line in lists[name].read_text(encoding="utf-8-sig", errors="replace").split("\n"):
                    words = line.split()
                    if words:
                        splits[composed(Path(words[0]).stem if "/" in words[0] else words[0])] = split
        if len(set(splits.values())) > 1 and "train" in splits.values():
            return SplitLists(folder, splits)
    return None
