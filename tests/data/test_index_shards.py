"""`places index` as people type it, compared with what the package `webdataset` reads."""

import functools
import gzip
import http.server
import io
import json
import shlex
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torchvision.transforms.v2 as transforms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.foreign import PICTURES, expected_of, picture, samples_of
from tests.data.packing.official import write_tar
from tests.data.packing.unusual import END, Part, block, data, write_parts

import places.data
from places.categories import load_categories
from places.cli.main import main as places_main
from places.console import counted
from places.data.shards.manifest import load_manifest
from places.data.streaming.picture_files import decode_file
from places.data.streaming.samples import SplitSamples

CATEGORIES = load_categories()
Lines = list[str]
Index = Callable[..., tuple[int, Lines]]


@pytest.fixture
def index(capsys: pytest.CaptureFixture[str]) -> Index:
    """Runs `places index` and returns its exit status and all lines that were printed."""

    def index_(*words: object, command: str = "index") -> tuple[int, Lines]:
        status = places_main([command, *map(str, words)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert len(printed.err.splitlines()) <= 4
        lines = [*printed.out.splitlines(), *printed.err.splitlines()]
        assert all(line.isprintable() for line in lines)
        return status, lines

    return index_


def indexed(root: Path, split: str = "train") -> list[tuple[str, bytes, int]]:
    """Key, picture and label of each sample as training reads them."""
    samples = SplitSamples(load_manifest(root, split))
    entries = samples.entries(np.arange(len(samples.index)))
    found = [(*samples.read(entry), entry[3]) for entry in entries]
    samples.close()
    return found


def of_each_kind() -> dict[str, bytes]:
    """Samples with pictures of all endings, in capitals too, and labels of all kinds."""
    files: dict[str, bytes] = {}
    endings = ["jpg", "JPG", "jpeg", "JPEG", "png", "PNG", "webp", "ppm", "Ppm", "jPg"]
    labels = [b"3", b"007", b"airfield", b"church/outdoor\n", b" 364 "]
    for number, ending in enumerate(endings):
        key = f"{'abc'[number % 3]}/x.y/{number:04d}"
        files[f"{key}.{ending}"] = picture(number, ending)
        files[f"{key}.{'CLS' if number % 2 else 'cls'}"] = labels[number % 5]
        files[f"{key}.json"] = json.dumps({"width": 40, "id": number}).encode()
    return files


def v7_tar(path: Path, files: dict[str, bytes]) -> Path:
    """A tar of the oldest kind, without a word that says so."""
    parts = [
        block(name.encode(), len(content), b"\0", magic=bytes(8)) + data(content)
        for name, content in files.items()
    ]
    path.write_bytes(b"".join(parts) + END)
    return path


@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar", "v7"])
def test_samples_are_those_of_webdataset(tmp_path: Path, index: Index, kind: str) -> None:
    files = of_each_kind()
    others = {"README": b"x", "__meta__/info.json": b"{}", "notes.txt": b"x", "._a.jpg": b"x"}
    if kind == "pax":
        files = {f"ć/{name}": content for name, content in files.items()}
    formats = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}
    path, root = tmp_path / "shard_7.tar", tmp_path / "root"
    if kind == "v7":
        v7_tar(path, others | files)
    else:
        write_tar(path, others | files, formats[kind])
    assert index(path, "--root", root, "--split", "val") == (
        0,
        [
            "val: left out, in no sample: 4 members: README, __meta__/info.json, ._a.jpg "
            "and 1 more",
            f"val: indexed, 10 pictures in 1 shard, labelled, in {root}",
        ],
    )
    assert indexed(root, "val") == expected_of([path])
    assert (root / "val-000000.tar").resolve() == path
    for words in ((), ("--decode",)):
        status, lines = index(root, *words, command="verify")
        assert (status, lines) == (0, ["val: 10 pictures in 1 shard, all is well"])


def test_pictures_are_decoded_as_the_reader_of_folders_does(tmp_path: Path, index: Index) -> None:
    rng = np.random.default_rng(0)
    images = {
        "rgb.png": Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)),
        "rgba.png": Image.fromarray(rng.integers(0, 256, (50, 60, 4), np.uint8)),
        "gray.png": Image.fromarray(rng.integers(0, 256, (50, 60), np.uint8)),
        "wide.png": Image.fromarray(rng.integers(0, 65536, (50, 60), np.uint16)),
        "few.png": Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)).quantize(9),
        "one.webp": Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)),
        "raw.ppm": Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)),
        "a.jpg": Image.fromarray(rng.integers(0, 256, (50, 60, 3), np.uint8)),
    }
    turned = Image.Exif()
    turned[274] = 6
    folder, files = tmp_path / "folder", dict[str, bytes]()
    folder.mkdir()
    for name, image in images.items():
        is_turned = name in ("rgb.png", "one.webp")
        image.save(folder / name, exif=turned if is_turned else Image.Exif())
        files |= {name: (folder / name).read_bytes(), f"{name.partition('.')[0]}.cls": b"1"}
    write_tar(tmp_path / "train-0.tar", files)
    assert index(tmp_path / "train-0.tar")[0] == 0
    assert load_manifest(tmp_path, "train").formats == ("jpeg", "png", "ppm", "webp")
    [batch] = places.data.open(
        tmp_path, "train", 8, train=False, image_size=32, resize_size=36, num_threads=1
    )
    usual = transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32)])
    for name, found in zip(images, batch["image"].permute(0, 2, 3, 1).numpy(), strict=True):
        whole = Image.fromarray(decode_file(folder / name, 10**6))
        np.testing.assert_array_equal(found, np.asarray(usual(whole)), name)
        if name in ("rgb.png", "raw.ppm", "one.webp"):  # by Pillow alone
            plain = Image.open(folder / name).convert("RGB")
            upright = plain.rotate(-90, expand=True) if name != "raw.ppm" else plain
            np.testing.assert_array_equal(found, np.asarray(usual(upright)), name)
    # Of a training crop of the whole picture the pixels are OpenCV's, from the same decoder.
    [batch] = places.data.open(
        tmp_path, "train", 8, train=True, image_size=50, num_threads=1,
        crop_scale=(1.0, 1.0), crop_ratio=(1.2, 1.2), flip=False,
    )  # fmt: skip
    names = {name.partition(".")[0]: name for name in images}
    for key, found in zip(batch["key"], batch["image"].permute(0, 2, 3, 1).numpy(), strict=True):
        pixels, how = decode_file(folder / names[key], 10**6), cv2.INTER_AREA
        if pixels.shape[:2] == (60, 50):  # turned: its middle has that ratio
            pixels, how = pixels[9:51], cv2.INTER_LINEAR
        if key != "a":  # a JPEG is decoded faster, and close
            np.testing.assert_array_equal(found, cv2.resize(pixels, (50, 50), interpolation=how))


@pytest.mark.parametrize(
    ("value", "label"),
    [(5, 5), ("005", 5), ("airfield", 0), ("church/outdoor", CATEGORIES.index("church/outdoor"))],
)
def test_labels_may_be_under_a_key_of_json(
    tmp_path: Path, index: Index, value: object, label: int
) -> None:
    fields = {"scene": value, "meta": {"id": value, "n": 999}, "w.h": value}
    files = dict[str, bytes]()
    for number in range(3):
        files[f"{number}.jpg"] = picture(number)
        files[f"{number}.json"] = json.dumps(fields).encode()
    path = write_tar(tmp_path / "train-0.tar", files)
    status, lines = index(path)
    assert (status, lines[0].endswith("of 3 pictures: there is no .cls")) == (2, True)
    assert "--label_key scene" in lines[2]
    assert not (tmp_path / "train.json").exists()
    for key in ("scene", "meta.id", "w.h"):
        assert index(path, "--label_key", key, "--force")[0] == 0
        assert indexed(tmp_path) == [(str(i), picture(i), label) for i in range(3)]
        assert index(tmp_path, command="verify")[0] == 0
    for key, words in (("none", "no key 'none'"), ("meta.n", "is 999, not 0"), ("meta", "is {")):
        status, lines = index(path, "--label_key", key, "--force")
        assert (status, words in lines[0]) == (2, True)


def shards_in(folder: Path, names: list[str], num_samples: int = 2) -> list[Path]:
    """Shards with labelled pictures, each with others."""
    paths = []
    for number, name in enumerate(names):
        files = dict[str, bytes]()
        for i in range(number * num_samples, (number + 1) * num_samples):
            files |= {f"{i:03d}.png": picture(i, "png"), f"{i:03d}.cls": str(i).encode()}
        paths.append(write_tar(folder / name, files))
    return paths


@pytest.mark.parametrize(
    ("names", "words", "expected"),
    [
        # Names that a manifest can hold are kept, and nothing is linked.
        (["train-0.tar", "train-1.tar"], ["{0}/train-{{0..1}}.tar"],
         ["train-0.tar", "train-1.tar"]),
        (["train-0.tar", "train-1.tar"], ["{0}"], ["train-0.tar", "train-1.tar"]),
        # Others get links beside them, in natural order.
        (["b-2.tar", "b-10.tar"], ["{0}/b-*.tar", "--split", "train"], None),
        (["b-2.tar", "b-10.tar"], ["{0}/b-{{2,10}}.tar", "--split", "train"], None),
        (["b-2.tar", "b-10.tar"], ["{0}", "--split", "train"], None),
        (["places_train_2.tar", "places_train_10.tar"], ["{0}"], None),
        (["train.tar"], ["{0}/train.tar"], None),
        (["00000.tar", "00001.tar"], ["file://{0}/{{00000..00001}}.tar", "--split", "train"], None),
        # In a folder the split tells which ones are meant.
        (["train-0.tar", "val-0.tar"], ["{0}", "--split", "train"], ["train-0.tar"]),
        (["x_training_1.tar", "x_validation_1.tar"], ["{0}", "--split", "train"], None),
    ],
)  # fmt: skip
def test_shards_may_have_any_names(
    tmp_path: Path, index: Index, names: list[str], words: list[str], expected: list[str] | None
) -> None:
    folder = tmp_path / "others"
    paths = [path for path in shards_in(folder, names) if "val" not in path.name]
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    filled = [word.format(folder) for word in words]
    assert index(*filled)[0] == 0
    shards = [shard.name for shard in load_manifest(folder, "train").shards]
    assert shards == (expected or [f"train-{i:06d}.tar" for i in range(len(paths))])
    assert indexed(folder) == expected_of(paths)
    assert {path: path.stat().st_ino for path in before} == before
    # Elsewhere all are links, also to those with good names; a second time nothing changes.
    for _ in range(2):
        assert index(*filled, "--root", tmp_path / "root")[0] == 0
        assert all((tmp_path / "root" / name).is_symlink() for name in shards)
    assert indexed(tmp_path / "root") == expected_of(paths)
    assert index(tmp_path / "root", command="verify")[0] == 0


def test_each_shard_that_cannot_be_indexed_is_named(tmp_path: Path, index: Index) -> None:
    shards_in(tmp_path, [f"train-{i}.tar" for i in range(4)])
    (tmp_path / "train-1.tar").write_bytes(gzip.compress((tmp_path / "train-1.tar").read_bytes()))
    whole = (tmp_path / "train-3.tar").read_bytes()
    (tmp_path / "train-3.tar").write_bytes(whole[: len(whole) // 2])
    words = (tmp_path / "train-{0..3}.tar", "--root", tmp_path / "root")
    status, lines = index(*words)
    assert (status, (tmp_path / "root").exists()) == (2, False)
    assert lines[0] == f"{tmp_path}/train-1.tar is no tar but gzip"
    assert lines[1].startswith(f"  unpack it first:  gzip -dc {tmp_path}/train-1.tar > ")
    assert lines[2].startswith(f"{tmp_path}/train-3.tar is cut short")
    assert lines[-2:] == [
        "places: error: 2 of 4 shards cannot be indexed, as said above; nothing was written",
        "  leave them out:  add --skip_shards",
    ]
    status, lines = index(*words, "--skip_shards")
    assert (status, lines[-1]) == (
        1, f"train: indexed, 4 pictures in 2 shards, labelled, in {tmp_path}/root",
    )  # fmt: skip
    assert indexed(tmp_path / "root") == expected_of([tmp_path / f"train-{i}.tar" for i in (0, 2)])


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "TAR.GZ", "tar.bz2", "tar.xz", "tar.zst"])
def test_compressed_shards_are_refused_with_what_unpacks_them(
    tmp_path: Path, index: Index, ending: str
) -> None:
    path = tmp_path / f"train-0.{ending}"
    path.write_bytes(b"x")
    status, lines = index(path)
    assert (status, len(lines)) == (2, 3)
    assert lines[0].startswith(f"places: error: {path} is compressed")
    assert f"-dc {path} > {tmp_path}/train-0.tar" in lines[1]
    assert lines[2] == f"  then:    places index {tmp_path}/train-0.tar"


@pytest.mark.parametrize("command", ["index", "pack"])
@pytest.mark.parametrize("ending", ["tar.gz", "tar"])
def test_a_name_in_a_command_to_type_stays_one_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, ending: str
) -> None:
    stem = "train-0 $(touch ran); 'x' > y"
    path = tmp_path / f"{stem}.{ending}"
    path.write_bytes(gzip.compress(bytes(1024)))
    assert places_main([command, str(path), "--split", "train", "--root", "root"]) == 2
    lines = capsys.readouterr().err.splitlines()
    typed = shlex.split(lines[1].partition(":  ")[2])
    assert typed[:4] == ["gzip", "-dc", str(path), ">"]
    if ending == "tar.gz":
        assert typed[4:] == [str(tmp_path / f"{stem}.tar")]
        assert shlex.split(lines[2].partition(":  ")[2])[2:] == typed[4:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.tar"], "no such file or folder: nothing.tar"),
        (["nothing-{{0..2}}.tar"], "no such file or folder: nothing-0.tar"),
        (["{0}/a-0.tar"], "the names of the shards do not tell their split: a-0.tar"),
        (["{0}/a-0.tar", "{0}/a-0.tar"], "given more than once: "),
        (["{0}"], "holds shards of train, val by their names"),
        (["{0}", "--split", "test"], "holds no shards of test by their names, but of train, val"),
        (["pipe:cat {0}/a-0.tar"], "no single URL"),
        (["gopher://a/b.tar"], "gopher:// is no storage"),
        (["http://127.0.0.1:9/a.tar", "--split", "val"], "behind URLs or in several folders"),
        (["{0}/a-0.tar", "http://127.0.0.1:9/a.tar"], "some shards are files here, others"),
        (["http://127.0.0.1:9/a.tar.gz"], "http://127.0.0.1:9/a.tar.gz is compressed"),
        (["{0}/empty"], "no tars in "),
        (["{0}/packed", "--split", "val"], "packed/a.tar.gz is compressed"),
        (["{0}/a-0.tar", "--root", "{0}/a-0.tar", "--split", "val"], "cannot write to"),
    ],
)
def test_words_that_mean_no_shards_are_refused(
    tmp_path: Path, index: Index, words: list[str], message: str
) -> None:
    shards_in(tmp_path, ["a-0.tar", "train-0.tar", "val-0.tar"])
    (tmp_path / "empty").mkdir()
    write_tar(tmp_path / "packed" / "a.tar.gz", {})
    status, lines = index(*(word.format(tmp_path) for word in words))
    assert (status, message in lines[0]) == (2, True), lines


def test_names_with_more_dots_are_split_as_webdataset_does(tmp_path: Path, index: Index) -> None:
    files = {"7.rgb.png": picture(1, "png"), "7.label.cls": b"3", "7.depth.npy": b"x"}
    files |= {"8.jpg": picture(2), "8.mask.png": picture(3, "png"), "8.cls": b"004"}
    path = write_tar(tmp_path / "train-0.tar", files)
    one, other = samples_of([path])
    assert index(path)[0] == 0
    assert indexed(tmp_path) == [
        (one["__key__"], one["rgb.png"], int(one["label.cls"])),
        (other["__key__"], other["jpg"], int(other["cls"])),
    ]
    assert index(tmp_path, "--decode", command="verify")[0] == 0


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        # Members that are not side by side: webdataset has a picture without a label.
        ({"a.jpg": 1, "b.jpg": 1, "a.cls": 0, "b.cls": 0}, "has a .cls and no picture beside it"),
        ({"a.cls": 0, "b.cls": 0, "a.jpg": 1, "b.jpg": 1}, "has a .cls and no picture beside it"),
        ({"v1.0.jpg": 1, "v1.0.cls": 0, "v1.1.jpg": 1, "v1.1.cls": 0}, "ends the key at the first"),
        ({"a.jpg": 1, "a.png": 1, "a.cls": 0}, "must have one picture and one label"),
        ({"a.bmp": 0, "a.cls": 0}, "is a .bmp, which is not read"),
        ({"a.jpg": 1, "a.cls": 0, "b.jpg": 1}, "no .cls for 1 of 2 pictures"),
    ],
)
def test_what_webdataset_makes_no_labelled_picture_of_is_refused_with_the_reason(
    tmp_path: Path, index: Index, files: dict[str, int], reason: str
) -> None:
    content = {name: picture(1) if kind else b"5" for name, kind in files.items()}
    path = write_tar(tmp_path / "train-0.tar", content)
    right = [s for s in samples_of([path]) if "cls" in s and sum(k in s for k in PICTURES) == 1]
    assert len(right) < len(files) / 2  # so a refusal is no loss of ours
    status, lines = index(path)
    assert (status, reason in "\n".join(lines)) == (2, True), lines
    assert [path.name for path in tmp_path.iterdir()] == ["train-0.tar"]


MEMBERS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["a", "b", "x/a", "y.z/a", "c d"]),
            st.sampled_from(["jpg", "JPG", "png", "cls", "CLS", "json", "txt", "seg.npy"]),
        ).map(".".join),
        st.sampled_from(["README", "._a.jpg", "__meta__/a.jpg", "__x__", "x/LICENSE", "q.md"]),
    ),
    max_size=9,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=MEMBERS)
def test_any_order_of_members_is_grouped_as_webdataset_does(
    tmp_path_factory: pytest.TempPathFactory, index: Index, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    parts = [
        Part(name, picture(number) if name.lower().endswith(("jpg", "png")) else b"7")
        for number, name in enumerate(names)
    ]
    path = write_parts(folder / "train-0.tar", parts)
    status, lines = index(path)
    try:
        samples = samples_of([path])
    except ValueError:  # an ending twice in a sample, or no sample
        assert status == 2
        return
    pictures = [sum(kind in sample for kind in PICTURES) for sample in samples]
    labels = ["cls" in sample for sample in samples]
    with_picture = {label for label, num in zip(labels, pictures, strict=True) if num}
    is_right = (
        max(pictures, default=0) == 1  # one picture to a sample
        and not any(label and not num for label, num in zip(labels, pictures, strict=True))
        and len(with_picture) == 1  # labels for all or none
    )
    assert (status == 0) is is_right, lines
    if is_right:
        assert indexed(folder) == expected_of([path])
        parts_of = [sum(not part.startswith("__") for part in sample) for sample in samples]
        num_taken = sum(n for n, num in zip(parts_of, pictures, strict=True) if num)
        told = f"left out, in no sample: {counted(len(names) - num_taken, 'member')}: "
        assert (told in lines[0]) is (num_taken < len(names)), lines


def test_other_data_in_the_folder_are_kept_unless_forced(tmp_path: Path, index: Index) -> None:
    shards_in(tmp_path / "a", ["x.tar", "y.tar"])
    shards_in(tmp_path / "b", ["z.tar"], num_samples=5)
    root, words = tmp_path / "root", ("--root", tmp_path / "root", "--split", "train")
    assert index(tmp_path / "a", *words)[0] == 0
    before = (root / "train.json").read_bytes()
    status, lines = index(tmp_path / "b", *words)
    assert (status, "holds other data for split 'train'" in lines[0]) == (2, True)
    assert (root / "train.json").read_bytes() == before
    assert index(tmp_path / "b", *words, "--force")[0] == 0
    assert indexed(root) == expected_of([tmp_path / "b" / "z.tar"])
    assert index(root, command="verify")[0] == 0  # the link to the second shard has gone
    assert (tmp_path / "a" / "y.tar").exists()
    # What an earlier program took for JPEGs only is told, and not kept in silence.
    fields = json.loads((root / "train.json").read_text())
    assert fields.pop("formats") == ["png"]
    (root / "train.json").write_text(json.dumps(fields))
    assert index(tmp_path / "b", *words)[0] == 2
    # A file in the place of a link is never replaced.
    (root / "train-000000.tar").unlink()
    (root / "train-000000.tar").write_bytes(b"mine")
    status, lines = index(tmp_path / "a", *words, "--force")
    assert (status, "is there, and no link to" in lines[0]) == (2, True)
    assert (root / "train-000000.tar").read_bytes() == b"mine"


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves it
def test_timm_reads_the_shards_without_counts(tmp_path: Path, index: Index, sample: Path) -> None:
    from timm.data.readers.reader_wds import ReaderWds

    shards_in(tmp_path / "others", ["a.tar", "b.tar"])
    root = tmp_path / "root"
    for split in ("train", "val"):
        assert index(tmp_path / "others", "--root", root, "--split", split)[0] == 0
    for folder, split, num_samples in ((root, "train", 4), (root, "val", 4), (sample, "val", 36)):
        reader = ReaderWds(str(folder), split=split, is_training=False, batch_size=2)
        assert len(reader) == num_samples
        found = [(np.asarray(image), label) for image, label in reader]
        rows = expected_of(load_manifest(folder, split).shard_paths)
        assert [label for _, label in found] == [label for _, _, label in rows]
        for (pixels, _), (_, encoded, _) in zip(found, rows, strict=True):
            with Image.open(io.BytesIO(encoded)) as image:
                np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_a_file_of_others_for_timm_keeps_what_it_says(tmp_path: Path, index: Index) -> None:
    shards_in(tmp_path, ["train-0.tar"])
    other = {"name": "places", "splits": {"extra": {"num_samples": 1}}}
    (tmp_path / "_info.json").write_text(json.dumps(other))
    assert index(tmp_path)[0] == 0
    info = json.loads((tmp_path / "_info.json").read_text())
    assert (info["name"], info["splits"]["extra"]) == ("places", {"num_samples": 1})
    assert info["splits"]["train"]["num_samples"] == 2
    (tmp_path / "_info.json").write_text("no JSON")
    assert "stays as it is" in index(tmp_path)[1][0]
    assert (tmp_path / "_info.json").read_text() == "no JSON"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server of `tmp_path/others`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "others"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_shards_behind_urls_are_read_where_they_are(
    tmp_path: Path, index: Index, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    paths = shards_in(tmp_path / "others", ["s 1.tar", "s 2.tar", "s 3.tar"], num_samples=4)
    root = tmp_path / "root"
    words = (f"{url}/s%20{{1..3}}.tar", "--root", root, "--split", "train")
    assert index(*words) == (
        0, [f"train: indexed, 12 pictures in 3 shards, labelled, in {root}"],
    )  # fmt: skip
    files = sorted(path.name for path in root.iterdir())
    assert files == ["train.index.npy", "train.json", "train.urls.json"]
    assert index(*words)[0] == 0
    assert index(root, command="verify")[0] == 0
    assert sorted(path.name for path in root.iterdir()) == files
    # Batches are those of the same shards as files.
    assert index(*paths, "--root", tmp_path / "local", "--split", "train")[0] == 0
    remote, local = load_manifest(root, "train"), load_manifest(tmp_path / "local", "train")
    assert remote.digest == local.digest
    opened = functools.partial(
        places.data.open, batch_size=4, image_size=32, num_threads=1, cache_folder=tmp_path / "c"
    )
    for split_words in ({"train": True}, {"train": False, "resize_size": 36}):
        batches = zip(
            opened(root, "train", **split_words),
            opened(tmp_path / "local", "train", **split_words),
            strict=True,
        )
        for one, other in batches:
            assert one["key"] == other["key"]
            np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())
    # What is there no more, or is another file by now, is named.
    paths[1].write_bytes(paths[0].read_bytes())
    status, lines = index(root, command="verify")
    assert (status, any("SHA-256 is not the one" in line for line in lines)) == (1, True)
    paths[1].unlink()
    status, lines = index(*words, "--force")
    assert (status, f"{url}/s%202.tar" in lines[0]) == (2, True), lines
    status, lines = index(root, command="verify")
    assert (status, any(f"{url}/s%202.tar" in line for line in lines)) == (1, True), lines
