"""A zip of any layout is unpacked once; every hostile one is refused before it writes outside or fills the disk."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fine_tuner.base.errors import DataError
from fine_tuner.base.progress import no_progress
from fine_tuner.data.files import archives
from fine_tuner.data.files.archives import unpack
from fine_tuner.data.files.encodings import find_encoding
from fine_tuner.data.notices import MendableError
from fine_tuner.data.records import DataSplits


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    """``pack({"a/b.txt": b"..."})`` writes a zip with exactly these names."""

    def make(members: dict[str | zipfile.ZipInfo, bytes], name: str = "set.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return tmp_path / name

    return make


def packed(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return target


def test_zip_of_class_folders_is_read_as_the_folder(
    class_folders: Callable[..., Path], read: Callable[..., DataSplits], tmp_path: Path
) -> None:
    root = class_folders({"a": 8, "b": 8})
    class_folders({"__MACOSX": 2, ".git": 1}, root=root)
    seen: list[tuple[str, int, int | None]] = []
    data = read(packed(root, tmp_path / "my pictures.zip"), progress=lambda *call: seen.append(call))
    assert data.classes == ("a", "b")
    assert data.class_counts("train") == (6, 6)
    assert data.root.name == "pictures"
    unpacking = [call for call in seen if call[0] == "Unpacking"]
    assert unpacking[-1][1] == unpacking[-1][2] > 0
    assert not list(data.root.parent.rglob("__MACOSX"))


def test_same_content_is_unpacked_once(pack: Callable[..., Path]) -> None:
    first = unpack(pack({"a/x.txt": b"one"}), no_progress)
    (first / "a" / "x.txt").write_bytes(b"kept")
    assert unpack(pack({"a/x.txt": b"one"}), no_progress) == first
    assert (first / "a" / "x.txt").read_bytes() == b"kept"
    assert unpack(pack({"a/x.txt": b"two"}), no_progress) != first


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:/out.txt", "..\\out.txt"])
def test_path_that_reaches_out_is_refused(pack: Callable[..., Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"reaches out of its folder\. It was not unpacked"):
        unpack(pack({"fine.txt": b"", name: b"evil"}), no_progress)
    assert not list(tmp_path.rglob("out.txt"))


def test_link_is_refused(pack: Callable[..., Path]) -> None:
    link = zipfile.ZipInfo("a/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match=r"holds the link 'a/link'\. Pack the files themselves"):
        unpack(pack({link: b"/etc/passwd"}), no_progress)


def test_bomb_is_refused_by_its_ratio(pack: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"claims to unpack to 4 MiB, as made to fill a disk"):
        unpack(pack({"zeros": bytes(4 << 20)}), no_progress)


def test_too_large_and_too_many_are_refused(pack: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"unpacks to 0\.0 GiB, more than 0\.0\. Give the unpacked folder"):
        unpack(pack({"x": b"12345"}), no_progress, max_bytes=4)
    with pytest.raises(DataError, match=r"holds 3 files, more than 2\. Give the unpacked folder"):
        unpack(pack({"x": b"", "y": b"", "z": b""}), no_progress, max_files=2)


def test_member_that_lies_about_its_size_is_refused(pack: Callable[..., Path]) -> None:
    path = pack({"liar": b"x" * 1000})
    content = bytearray(path.read_bytes())
    header = content.index(b"PK\x01\x02")
    content[header + 24 : header + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged or not a zip"):
        unpack(path, no_progress)


def test_encrypted_is_refused(pack: Callable[..., Path]) -> None:
    path = pack({"secret": b"x"})
    content = bytearray(path.read_bytes())
    for sign, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(sign) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is encrypted \('secret'\)\. Pack it without a password"):
        unpack(path, no_progress)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more"])
def test_broken_zip_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip is damaged or not a zip"):
        unpack(tmp_path / "x.zip", no_progress)


def test_damage_inside_leaves_nothing_behind(pack: Callable[..., Path], cache: Path) -> None:
    path = pack({"a": bytes(range(256)) * 50}, name="damaged.zip")
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.zip is damaged or not a zip"):
        unpack(path, no_progress)
    assert not [p for p in (cache / "unpacked").iterdir() if "damaged" in p.name]


def test_missing_and_empty_zip(tmp_path: Path, pack: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*gone\.zip"):
        unpack(tmp_path / "gone.zip", no_progress)
    with pytest.raises(DataError, match=r"holds no files"):
        unpack(pack({}), no_progress)


@pytest.mark.parametrize(
    ("text", "encoding", "is_told"),
    [("猫狗", "gbk", True), ("肺炎", "gbk", True), ("고양이", "euc_kr", False), ("정상", "euc_kr", False),
     ("ねこ", "cp932", True), ("кошка", "cp866", False), ("żółty", "cp852", False), ("γάτα", "cp737", False),
     ("貓咪", "big5", False)],
)  # fmt: skip
def test_encoding_is_told_or_asked_with_the_right_one_among_the_choices(
    text: str, encoding: str, is_told: bool
) -> None:
    likely = ("gbk", "cp932", "euc_kr", "cp1252", "cp437")
    if is_told:
        assert find_encoding([text.encode(encoding)], given="", what="It", likely=likely)[0] == encoding
    else:
        with pytest.raises(MendableError) as raised:
            find_encoding([text.encode(encoding)], given="", what="It", likely=likely)
        assert encoding in [remedy.settings["data.encoding"] for remedy in raised.value.remedies]
