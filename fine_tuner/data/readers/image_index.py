"""Finding the file that a table means, by whatever part of its name it gives, never outside of the data's folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from posixpath import normpath

from fine_tuner.data.files.folders import composed
from fine_tuner.data.options import split_named

_WORD = re.compile(r"[^\W\d_]+")


class ImageIndex:
    """Images below one folder, found by relative path, by the end of it, by name, or by name without suffix.

    Only files that were listed are ever returned, so a table cannot reach out of the folder.
    """

    def __init__(self, root: Path, images: Iterable[Path]) -> None:
        self.root = root
        self._by_path: dict[str, Path] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._by_folded: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            self._by_path[composed(image.relative_to(root).as_posix())] = image
            self._by_name[composed(image.name)].append(image)
            self._by_stem[composed(image.stem)].append(image)
            self._by_folded[composed(image.name).casefold()].append(image)

    def __len__(self) -> int:
        return len(self._by_path)

    def __iter__(self) -> Iterable[Path]:
        return iter(self._by_path.values())

    def holds(self, text: str) -> bool:
        """Whether ``text`` means an image here, or one of several."""
        return self.find(text) is not None or bool(self._named(PurePosixPath(composed(text).replace("\\", "/"))))

    def why_not(self, text: str) -> str:
        """Why ``find`` gave nothing, as a part of a sentence."""
        what = "are several images" if self.holds(text) else "is no image"
        return f"there {what} {text!r} below {self.root}"

    def _named(self, wanted: PurePosixPath) -> list[Path]:
        exact = self._by_name.get(wanted.name) or self._by_stem.get(wanted.name) or self._by_stem.get(wanted.stem)
        return exact or self._by_folded.get(wanted.name.casefold()) or []

    def find(self, text: str, prefer: str | None = None) -> Path | None:
        """The image that ``text`` means; None if there is none or it could be several.

        Args:
            text: A path or a name, with or without suffix, with either slash.
            prefer: Among several of one name, the one below a folder of this split, such as ``train2017``.
        """
        if not text:
            return None
        wanted = PurePosixPath(normpath(composed(text).replace("\\", "/")))
        parts = [p for p in wanted.parts if p not in (".", "..", "/")]  # the rest of a path from somewhere else
        if not parts:
            return None
        exact = self._by_path.get("/".join(parts))
        if exact is not None:
            return exact
        found = self._named(wanted)
        if len(found) > 1:
            found = self._narrow(found, parts, prefer)
        return found[0] if len(found) == 1 else None

    def _narrow(self, found: list[Path], parts: list[str], prefer: str | None) -> list[Path]:
        """Those whose folders end like the given ones, else those below the preferred folder."""
        folders = tuple(parts[:-1])
        alike = [p for p in found if folders and p.relative_to(self.root).parts[:-1][-len(folders) :] == folders]
        if not alike and prefer:
            alike = [p for p in found if any(_is_of(f, prefer) for f in p.relative_to(self.root).parts[:-1])]
        return alike or found


def _is_of(folder: str, split: str) -> bool:
    """Whether the name of a folder says that it is of a split."""
    return folder == split or any(split_named(word) == split for word in _WORD.findall(folder))
