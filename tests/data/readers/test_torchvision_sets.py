"""torchvision's sets in miniature, laid out as torchvision wants them: found in a root, files used or written once."""

from __future__ import annotations

import gzip
import struct
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from fine_tuner.base.errors import DataError
from fine_tuner.data.readers.torchvision_sets import SETS, _progress_of_downloads
from fine_tuner.data.records import DataSplits

Read = Callable[..., DataSplits]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _noise(path: Path, seed: int, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any download fails at once, as without a network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(datasets.utils.urllib.request, "urlopen", refuse)


def test_every_set_exists_in_torchvision() -> None:
    assert len(SETS) >= 15
    for name in SETS:
        assert issubclass(getattr(datasets, name), datasets.VisionDataset)


def test_files_are_used_where_they_lie(tmp_path: Path, read: Read) -> None:
    for k, name in enumerate(("Forest", "River")):
        for i in range(5):
            _noise(tmp_path / "eurosat" / "2750" / name / f"{name}_{i}.jpg", 10 * k + i)
    data = read(f"torchvision:EuroSAT@{tmp_path}")
    assert data.classes == ("Forest", "River")
    assert {r.image.parent.parent for r in data.splits["train"]} == {tmp_path / "eurosat" / "2750"}
    assert data.class_counts("val") == (1, 1)


def test_arrays_are_written_once_as_files(tmp_path: Path, read: Read, cache: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 20), ("t10k", 10)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images = struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes()
        labels = struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            (raw / f"{prefix}-{name}-ubyte").write_bytes(content)
            (raw / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    seen: list[str] = []
    data = read(f"torchvision:FashionMNIST@{tmp_path}", progress=lambda what, *_: seen.append(what))
    assert "Writing FashionMNIST as files" in seen
    assert {s: len(r) for s, r in data.splits.items()} == {"train": 10, "val": 10, "test": 10}
    assert data.classes[0] == "T-shirt/top"
    record = data.splits["test"][3]
    with Image.open(record.image) as image:
        assert np.array_equal(np.asarray(image), pixels[3])
    assert record.target == 3
    seen.clear()
    read(f"torchvision:FashionMNIST@{tmp_path}", progress=lambda what, *_: seen.append(what))
    assert "Writing FashionMNIST as files" not in seen


def _pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    lines = {"trainval": [], "test": []}
    for k, breed in enumerate(("Abyssinian", "beagle")):
        for i in range(4):
            name = f"{breed}_{i}"
            _noise(base / "images" / f"{name}.jpg", 10 * k + i)
            trimap = np.full((10, 12), 2, np.uint8)
            trimap[2:8, 2:8], trimap[3:7, 3:7] = 3, 1
            (base / "annotations" / "trimaps").mkdir(parents=True, exist_ok=True)
            Image.fromarray(trimap).save(base / "annotations" / "trimaps" / f"{name}.png")
            lines["trainval" if i < 3 else "test"].append(f"{name} {k + 1} 1 1")
    for split, rows in lines.items():
        (base / "annotations" / f"{split}.txt").write_text("\n".join(rows) + "\n")


def test_pets_serve_classes_and_masks(tmp_path: Path, read: Read) -> None:
    _pets(tmp_path)
    breeds = read(f"torchvision:OxfordIIITPet@{tmp_path}")
    assert breeds.classes == ("Abyssinian", "Beagle")
    assert {s: len(r) for s, r in breeds.splits.items()} == {"train": 4, "val": 2, "test": 2}
    masks = read(f"torchvision:OxfordIIITPet@{tmp_path}", task="segmentation")
    assert masks.classes == ("pet", "background", "border")
    assert masks.mask_coding.values == (1, 2, 3)


def test_voc_has_its_names_and_ignores_its_outlines(tmp_path: Path, read: Read) -> None:
    base = tmp_path / "VOCdevkit" / "VOC2012"
    (base / "SegmentationClass").mkdir(parents=True)
    (base / "ImageSets" / "Segmentation").mkdir(parents=True)
    for i in range(4):
        _noise(base / "JPEGImages" / f"{i}.jpg", i)
        mask = np.zeros((10, 12), np.uint8)
        mask[2:8, 2:8], mask[3:7, 3:7] = 255, 15
        image = Image.frombytes("P", (12, 10), mask.tobytes())
        image.putpalette(list(range(256)) * 3)
        image.save(base / "SegmentationClass" / f"{i}.png")
    for split, names in (("train", "0\n1\n2\n"), ("val", "3\n")):
        (base / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(names)
    data = read(f"torchvision:VOCSegmentation@{tmp_path}", task="segmentation")
    assert data.num_outputs == 21
    assert (data.classes[0], data.classes[15]) == ("background", "person")
    assert data.mask_coding.ignored == (255,)


# ------------------------------------------------------------------ wrong
def test_unknown_set_gets_a_suggestion(read: Read) -> None:
    with pytest.raises(DataError, match=r"torchvision:CIFAR1O is not offered\. Did you mean 'CIFAR10'\? There are"):
        read("torchvision:CIFAR1O")


def test_set_that_does_not_serve_the_task(read: Read) -> None:
    with pytest.raises(DataError, match=r"torchvision:MNIST does not serve task=segmentation\. Choose task="):
        read("torchvision:MNIST", task="segmentation")


@pytest.mark.usefixtures("no_network")
def test_without_network_it_says_where_the_files_may_be_put(tmp_path: Path, read: Read) -> None:
    with pytest.raises(DataError, match=r"torchvision:CIFAR10 is not in .* cannot be downloaded \(.*unreachable"):
        read(f"torchvision:CIFAR10@{tmp_path}")


def test_download_reports_its_bytes(tmp_path: Path) -> None:
    """torchvision's own downloader, against a server of our own."""
    (tmp_path / "source.bin").write_bytes(bytes(100_000))
    seen: list[tuple[str, int, int | None]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with _progress_of_downloads(lambda *call: seen.append(call), "CIFAR10"):
                url = f"http://127.0.0.1:{server.server_port}/source.bin"
                datasets.utils.download_url(url, str(tmp_path), "copy.bin")
        finally:
            server.shutdown()
            thread.join()
    assert (tmp_path / "copy.bin").stat().st_size == 100_000
    assert seen[-1] == ("Downloading CIFAR10", 100_000, 100_000)
    assert datasets.utils.tqdm.__name__ == "tqdm"
