"""A zip of a data set, unpacked once into the cache; hostile and absurd archives are refused before they do harm."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from fine_tuner.base.cache_folder import CACHE_VARIABLE, cache_folder
from fine_tuner.base.errors import DataError
from fine_tuner.base.files import making_folder
from fine_tuner.base.progress import OnProgress
from fine_tuner.data.files.encodings import find_encoding
from fine_tuner.data.files.folders import composed, existing_folder, is_ignored_folder
from fine_tuner.data.notices import Notice

ARCHIVE_SUFFIXES = frozenset({".zip"})
MAX_FILES = 500_000
MAX_BYTES = 50 * 2**30
# Deflate reaches 1032 at most; images hardly compress at all, tables and masks up to a few hundred.
MAX_RATIO = 300
_SMALL_BYTES = 100 * 2**20  # below this no ratio does harm
_BLOCK_BYTES = 1 << 20
_IS_UTF8 = 0x800


def unpack(
    path: Path,
    progress: OnProgress,
    *,
    encoding: str = "utf-8",
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> Path:
    """Folder in the cache with the content of the zip at ``path``; the same content is unpacked only once.

    Args:
        path: The zip.
        progress: Called with bytes written.
        encoding: Of names that do not say that they are UTF-8.
        max_bytes: Most bytes that may come out.
        max_files: Most files.

    Raises:
        DataError: If it is no zip, damaged, encrypted, too large, reaches out of its folder, or is made to burst.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        existing_folder(str(path))  # raises, with the nearest name
    folder = _unpacked_folders() / f"{_safe(path.stem)}-{_digest(path)[:16]}{_mark(encoding)}"
    if folder.is_dir():
        return folder
    try:
        with zipfile.ZipFile(path, metadata_encoding=encoding) as archive:
            members = _checked(archive, path, max_bytes=max_bytes, max_files=max_files)
            total = sum(m.file_size for m in members)
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_space(folder.parent, total, path)
            with making_folder(folder) as draft:
                _write(archive, members, draft, total, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged or not a zip ({error}). Pack the data again.") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be unpacked into {folder.parent} ({error.strerror or error}). Free some space there, or "
            f"name another folder in the environment variable {CACHE_VARIABLE}."
        ) from None
    return folder


def _unpacked_folders() -> Path:
    return cache_folder() / "unpacked"


def unpacked_folder(stem: str, digits: str, *, num_digits: int) -> Path:
    """Where ``unpack`` put a zip, by the first digits of its digest; a folder that is not there if it did not."""
    name = f"{_safe(stem)}-{digits}"
    found = _unpacked_folders().glob(f"{name}*") if len(digits) == num_digits and digits.isalnum() else ()
    return next(iter(found), _unpacked_folders() / name)


def find_name_encoding(path: Path, given: str) -> tuple[str, tuple[Notice, ...]]:
    """The encoding of the names in a zip that do not say it, and what there is to say of that.

    Windows packs names in the encoding of its country without a word; by the book they are cp437.

    Raises:
        DataError: If ``given`` does not fit, or it cannot be told; a file that is no zip is for ``unpack`` to refuse.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [m.filename.encode("cp437") for m in archive.infolist() if not m.flag_bits & _IS_UTF8]
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError):
        return "utf-8", ()
    what = f"The text of the names in {path.name}"
    encoding, notice = find_encoding(
        names, given=given, what=what, likely=("gbk", "cp932", "euc_kr", "cp437", "cp1252")
    )
    return encoding, (notice,) if notice else ()


def look_over(path: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> str:
    """Refuse a zip that ``unpack`` would refuse, unpacking nothing; its digest.

    Raises:
        DataError: See ``unpack``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _checked(archive, path, max_bytes=max_bytes, max_files=max_files)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged or not a zip ({error}). Pack the data again.") from None
    return _digest(path)


def _mark(encoding: str) -> str:
    """What tells folders of another encoding apart."""
    return "" if encoding == "utf-8" else f"-{encoding}"


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the file.") from None


def _checked(archive: zipfile.ZipFile, path: Path, *, max_bytes: int, max_files: int) -> list[zipfile.ZipInfo]:
    """The files to unpack."""
    for member in archive.infolist():
        _check_member(member, path)
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_ignored(m)]
    if len(members) > max_files:
        raise DataError(
            f"{path} holds {len(members):,} files, more than {max_files:,}. Give the unpacked folder instead."
        )
    total, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if total > max_bytes:
        raise DataError(
            f"{path} unpacks to {total / 2**30:.1f} GiB, more than {max_bytes / 2**30:.1f}. Give the unpacked folder "
            "instead."
        )
    if total > _SMALL_BYTES and total > MAX_RATIO * packed:
        raise DataError(
            f"{path} of {packed / 2**20:.1f} MiB claims to unpack to {total / 2**20:,.0f} MiB, as made to fill a disk. "
            "It was not unpacked; give the unpacked folder instead."
        )
    if not members:
        raise DataError(f"{path} holds no files. Pack the folder with the images.")
    return members


def _is_ignored(member: zipfile.ZipInfo) -> bool:
    return any(is_ignored_folder(part) for part in PurePosixPath(member.filename.replace("\\", "/")).parts)


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in name.partition("/")[0] or "\0" in name:
        raise DataError(f"{path} holds {member.filename!r}, which reaches out of its folder. It was not unpacked.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{path} holds the link {member.filename!r}. Pack the files themselves.")
    if member.flag_bits & 0x1:
        raise DataError(f"{path} is encrypted ({member.filename!r}). Pack it without a password.")


def _check_space(folder: Path, total: int, path: Path) -> None:
    free = shutil.disk_usage(folder).free
    if total > free:
        raise DataError(
            f"{path} unpacks to {total / 2**30:.1f} GiB, {folder} has {free / 2**30:.1f} GiB free. Free some space, or "
            f"name another folder in the environment variable {CACHE_VARIABLE}."
        )


def _write(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], draft: Path, total: int, progress: OnProgress
) -> None:
    """Unpack; a member that yields more than it declared ends it."""
    done = 0
    for member in members:
        target = draft.joinpath(*PurePosixPath(composed(member.filename).replace("\\", "/")).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("wb") as file:
            written = 0
            while block := source.read(_BLOCK_BYTES):
                written += len(block)
                if written > member.file_size:
                    raise zipfile.BadZipFile(f"{member.filename} is longer than it says")
                file.write(block)
        done += written
        progress("Unpacking", done, total)
