"""Nothing in a tar disappears: it is packed as if unpacked, left out by name, or refused."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.packing.official import jpeg, write_tar
from tests.data.packing.unusual import (
    END,
    Part,
    Run,
    block,
    data,
    folder,
    hard_link,
    link,
    packed,
    pax,
    raw,
    write_parts,
)

PICTURES = [Part(f"airfield/{number}.jpg", jpeg(number)) for number in range(3)]
SOUND = {f"airfield/{number}": jpeg(number) for number in range(3)}


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


# Links


LINKED = [
    folder("."),
    folder("./airfield"),
    *(Part(f"./{name}", content) for name, content, *_ in PICTURES),
    link("./beach/1.jpg", "../airfield/1.jpg"),
    hard_link("./beach/2.jpg", "./airfield/2.jpg"),
    Part("beach/3.jpg", jpeg(3)),
    link("beach/4.jpg", "5.jpg"),
    link("beach/5.jpg", ".././beach//1.jpg"),
    hard_link("beach/6.jpg", "beach/4.jpg"),
    hard_link("beach/7.jpg", "beach/2.jpg"),
    link("alley", "./beach"),
    link("bar", "alley"),
    link("church/outdoor", "../bar/../airfield"),
    link("b/beach", "../alley"),
]


@pytest.mark.parametrize(
    "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_links_give_what_the_unpacked_folder_gives(
    tmp_path: Path, pack: Run, tar_format: int
) -> None:
    path = write_parts(tmp_path / "a.tar", LINKED, tar_format)
    status, lines = pack(path)
    assert status == 0
    assert lines[0].endswith("; 34 members = 34 packed + 0 left out")
    found = (tmp_path / "root" / "val-000000.tar").read_bytes()
    assert len(packed(tmp_path / "root")) == 34
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "folder", filter="fully_trusted")
    assert pack(tmp_path / "folder")[1][0].endswith("; 34 members = 34 packed + 0 left out")
    assert (tmp_path / "root" / "val-000000.tar").read_bytes() == found


NOWHERE, OUT, LOOP = "a link to nothing", "a link that leads out", "a link in a loop"


@pytest.mark.parametrize(
    ("parts", "left_out"),
    [
        ([link("airfield/x.jpg", "y.jpg")], f"airfield/x.jpg ({NOWHERE})"),
        ([link("airfield/x.jpg", "0.jpg/y.jpg")], f"airfield/x.jpg ({NOWHERE})"),
        ([link("airfield/x.jpg", "")], f"airfield/x.jpg ({NOWHERE})"),
        ([link("airfield/x.jpg", "/etc/passwd")], f"airfield/x.jpg ({OUT})"),
        ([link("airfield/x.jpg", "../../0.jpg")], f"airfield/x.jpg ({OUT})"),
        ([link("airfield/x.jpg", "../../airfield/0.jpg")], f"airfield/x.jpg ({OUT})"),
        ([link("airfield/x.jpg", "x.jpg")], f"airfield/x.jpg ({LOOP})"),
        ([link("airfield/x.jpg", "y"), link("airfield/y", "x.jpg")],
         f"airfield/x.jpg ({LOOP}), airfield/y ({LOOP})"),
        ([link("airfield/x", ".")], f"airfield/x ({LOOP})"),
        ([link("x", "..")], f"x ({OUT})"),
        ([link("x", ".")], f"x ({LOOP})"),
        ([hard_link("airfield/x.jpg", "y.jpg")], f"airfield/x.jpg ({NOWHERE})"),
        ([hard_link("airfield/x.jpg", "airfield")], f"airfield/x.jpg ({NOWHERE})"),
        ([hard_link("airfield/x.jpg", "../etc/passwd")], f"airfield/x.jpg ({NOWHERE})"),
        ([hard_link("airfield/x.jpg", "late.jpg"), Part("late.txt")],
         f"airfield/x.jpg ({NOWHERE})"),
        ([Part("airfield/x.jpg", kind=tarfile.FIFOTYPE)], "airfield/x.jpg (a named pipe)"),
        ([Part("airfield/x.jpg", kind=tarfile.CHRTYPE)], "airfield/x.jpg (a device)"),
        ([Part("airfield/x.jpg", kind=tarfile.BLKTYPE)], "airfield/x.jpg (a device)"),
        ([Part("airfield/x.jpg", jpeg(1), b"Q")], "airfield/x.jpg (of the unknown type b'Q')"),
        ([Part("d", kind=tarfile.CHRTYPE), link("airfield/x.jpg", "../d")],
         "d (a device), airfield/x.jpg (a device)"),
        ([link("airfield/\x1b[2J.jpg", "y")], f"airfield/\\x1b[2J.jpg ({NOWHERE})"),
    ],
)  # fmt: skip
def test_what_is_no_file_is_left_out_by_name(
    tmp_path: Path, pack: Run, parts: list[Part], left_out: str
) -> None:
    status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, *parts]))
    assert status == 0
    assert packed(tmp_path / "root") == SOUND
    assert f"  left out (no files): {left_out}" in lines
    num_others = len(parts)
    assert lines[0].endswith(f"; {3 + num_others} members = 3 packed + {num_others} left out")


@pytest.mark.parametrize(
    "parts",
    [
        [link("bar", "airfield"), Part("bar/9.jpg", jpeg(9))],
        [Part("bar", b"x"), Part("bar/9.jpg", jpeg(9)), link("x", "bar")],
        [link("airfield/1.jpg", "2.jpg")],
        [hard_link("airfield/1.jpg", "airfield/2.jpg")],
        [folder("bar"), link("bar", "airfield")],
        [link("bar", "airfield"), folder("bar")],
    ],
)
def test_members_in_the_place_of_others_are_refused(
    tmp_path: Path, pack: Run, parts: list[Part]
) -> None:
    status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, *parts]))
    assert status == 2
    assert "lies in a link or in a file" in lines[0] or "is there twice" in lines[0]


@pytest.mark.timeout(60)
def test_links_to_folders_of_links_have_an_end(tmp_path: Path, pack: Run) -> None:
    bomb = [
        Part("airfield/1.txt"),
        folder("d0"),
        link("d0/a", "../airfield"),
        link("d0/b", "../airfield"),
    ]
    for depth in range(1, 40):
        bomb += [link(f"d{depth}/{name}", f"../d{depth - 1}") for name in "ab"]
    path = write_parts(tmp_path / "a.tar", bomb)
    assert "ways to one folder" in pack(path)[1][0]
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "folder", filter="fully_trusted")
    assert "ways to one folder" in pack(tmp_path / "folder")[1][0]


def test_a_picture_that_is_there_twice_is_refused(tmp_path: Path, pack: Run) -> None:
    for name in ("airfield/1.jpg", "./airfield//1.jpg", "airfield/1.JPEG"):
        status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, Part(name, jpeg(9))]))
        assert (status, lines[0]) == (2, "places: error: two pictures have the name 'airfield/1'")


# Several tars in one file


def test_tars_one_after_the_other_are_one(tmp_path: Path, pack: Run) -> None:
    tars = [
        write_parts(tmp_path / f"{part.name[-5]}.tar", [part]).read_bytes() for part in PICTURES
    ]
    assert pack(write(tmp_path / "a.tar", *tars))[0] == 0
    assert packed(tmp_path / "root") == SOUND
    for gap in (512, 1024, 5120):
        ends = [tar.rstrip(b"\0") for tar in tars]
        padded = [end + bytes(-len(end) % 512 + gap) for end in ends]
        assert pack(write(tmp_path / "a.tar", *padded))[0] == 0
        assert packed(tmp_path / "root") == SOUND


@pytest.mark.parametrize(
    "behind",
    [b"junk", b"\xff" * 5000, bytes(600) + b"x", raw(b"a.jpg", b"x")[:700], b"\x1f\x8b" * 99],
)
def test_what_is_no_tar_behind_the_end_is_refused(tmp_path: Path, pack: Run, behind: bytes) -> None:
    sound = write_parts(tmp_path / "sound.tar", PICTURES).read_bytes()
    status, lines = pack(write(tmp_path / "a.tar", sound, behind))
    assert status == 2
    assert "a.tar is " in lines[0]
    assert pack(write(tmp_path / "a.tar", sound, bytes(12345)))[0] == 0


def test_shards_that_go_on_behind_their_end_are_refused(tmp_path: Path, run: Run) -> None:
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": jpeg(1)}).read_bytes()
    write(
        tmp_path / "val-0.tar", tar, write_tar(tmp_path / "a.tar", {"b.jpg": jpeg(2)}).read_bytes()
    )
    status, lines = run("verify", tmp_path, "--index")
    assert status == 2
    assert "goes on behind its end at byte 10,240, where WebDataset stops" in lines[0]


def nested(content: bytes, depth: int) -> bytes:
    for _ in range(depth):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            member = tarfile.TarInfo("inner.tar")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        content = file.getvalue()
    return content


@pytest.mark.timeout(60)
def test_tars_in_tars_are_read_up_to_a_depth(tmp_path: Path, pack: Run) -> None:
    links = [link("beach/1.jpg", "../airfield/1.jpg"), link("beach/2.jpg", "../../x.jpg")]
    inner = write_parts(tmp_path / "inner.tar", [*PICTURES, *links]).read_bytes()
    assert pack(write(tmp_path / "a.tar", nested(inner, 8)))[1] == [
        f"val: packed, 4 pictures in 1 shard, 0.0 MB, in {tmp_path}/root; "
        "5 members = 4 packed + 1 left out",
        "  left out (no files): beach/2.jpg (a link that leads out)",
    ]
    deep = b"".join(block(b"t.tar", 1024 * (1500 - number)) for number in range(1500))
    for content in (nested(inner, 9), deep + END * 1500):
        status, lines = pack(write(tmp_path / "a.tar", content))
        assert (status, "a tar in 8 others" in lines[0]) == (2, True)


def test_what_only_looks_like_a_tar_inside_is_left_out_or_refused(
    tmp_path: Path, pack: Run
) -> None:
    hidden = [Part("._x.tar", b"Mac OS X"), Part("x.tar.gz", gzip.compress(os.urandom(999)))]
    status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, *hidden]))
    assert status == 0
    assert "  left out (no pictures, or hidden): ._x.tar, x.tar.gz" in lines
    packed_inside = [Part("x.tar", gzip.compress(os.urandom(999)))]
    status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, *packed_inside]))
    assert (status, "is no tar but gzip" in lines[0]) == (2, True)
    status, lines = pack(write_parts(tmp_path / "a.tar", [*PICTURES, Part("x.tar", b"text")]))
    assert (status, "cut short" in lines[0]) == (2, True)


# Other formats


ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w") as archive:
    archive.writestr("airfield/1.jpg", jpeg(1))


@pytest.mark.parametrize(
    ("pack_it", "name"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda _: ZIPPED.getvalue(), "zip"),
        (lambda _: b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
    ],
)
def test_other_formats_under_the_name_of_a_tar_are_told(
    tmp_path: Path, pack: Run, run: Run, pack_it: Callable[[bytes], bytes], name: str
) -> None:
    tar = write_parts(tmp_path / "sound.tar", [Part(p.name, os.urandom(999)) for p in PICTURES])
    path = write(tmp_path / "val-0.tar", pack_it(tar.read_bytes()))
    for status, lines in (pack(path), run("verify", tmp_path, "--index")):
        assert status == 2
        assert lines[0] == f"places: error: {path} is no tar but {name}"
        assert lines[1].startswith("  unpack it first:  ")
        assert str(path) in lines[1]


# Headers of all ages


def v7(name: bytes, content: bytes, kind: bytes = b"\0") -> bytes:
    return block(name, len(content), kind, magic=bytes(8)) + data(content)


def test_the_oldest_tars_are_packed_and_indexed(tmp_path: Path, pack: Run, run: Run) -> None:
    parts = [v7(b"airfield/", b""), *(v7(p.name.encode(), p.content) for p in PICTURES), END]
    status, lines = pack(write(tmp_path / "a.tar", *parts))
    assert status == 0
    assert lines[0].endswith("; 3 members = 3 packed + 0 left out")
    assert packed(tmp_path / "root") == SOUND
    write(tmp_path / "val-0.tar", *parts)
    assert run("verify", tmp_path, "--index", "--decode")[0] == 0


@pytest.mark.parametrize(
    "size",
    [
        b"%o" % 700,
        b"%011o " % 700,
        b"     001274",
        b"\x80" + (700).to_bytes(11, "big"),
        b"00001274 \0",
    ],
)
def test_sizes_in_all_spellings(tmp_path: Path, pack: Run, size: bytes) -> None:
    content = jpeg(5)[:700].ljust(700, b"x")
    parts = block(b"airfield/5.jpg", size), data(content), raw(b"airfield/6.jpg", jpeg(6)), END
    assert pack(write(tmp_path / "a.tar", *parts))[0] == 0
    assert packed(tmp_path / "root") == {"airfield/5": content, "airfield/6": jpeg(6)}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "size",
    [
        b"-0000000777", b"-1", b"+777", b"0o777", b"1_000", b"0x10", b"9", b"777 7", b"1e3",
        b"\xff" * 12, b"\xc0" + bytes(11), b"\xff" * 11 + b"\x00", b"\x80" + b"\xff" * 11,
        b"77777777777", b"\xb2\xb2\xb2", b"\x81" + bytes(11),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"S", b"V"])
def test_sizes_that_lead_nowhere_are_refused(
    tmp_path: Path, pack: Run, run: Run, size: bytes, kind: bytes
) -> None:
    parts = (
        raw(b"airfield/5.jpg", jpeg(5)),
        block(b"airfield/6.jpg", size, kind),
        data(jpeg(6)),
        END,
    )
    path = write(tmp_path / "val-0.tar", *parts)
    for status, lines in (pack(path), run("verify", tmp_path, "--index")):
        assert status == 2
        assert "is damaged" in lines[0] or "is cut short" in lines[0]


def test_links_and_folders_have_no_bytes_whatever_their_size_says(
    tmp_path: Path, pack: Run
) -> None:
    parts = [block(b"airfield", 999, b"5"), raw(b"airfield/0.jpg", jpeg(0))]
    parts += [block(b"airfield/1.jpg", 777, b"1", b"airfield/0.jpg")]
    parts += [block(b"airfield/2.jpg", b"-1", b"2", b"0.jpg"), END]
    assert pack(write(tmp_path / "a.tar", *parts))[0] == 0
    assert packed(tmp_path / "root") == {f"airfield/{number}": jpeg(0) for number in range(3)}


def test_checksums_of_signed_bytes_are_sums_too(tmp_path: Path, pack: Run) -> None:
    header = bytearray(block("airfield/größe.jpg".encode(), len(jpeg(1))))
    header[148:156] = b" " * 8
    signed = sum(byte - 256 * (byte > 127) for byte in header)
    header[148:156] = b"%06o\0 " % signed
    assert pack(write(tmp_path / "a.tar", bytes(header), data(jpeg(1)), END))[0] == 0
    assert packed(tmp_path / "root") == {"airfield/größe": jpeg(1)}


# What is told before a header


def test_names_and_sizes_from_extended_headers(tmp_path: Path, pack: Run) -> None:
    long = f"airfield/{'n' * 90}"
    records = {
        "x": pax(path=f"{long}1.jpg"), "L": f"{long}2.jpg".encode() + b"\0",
        "size": pax(path="airfield/3.jpg", size=str(len(jpeg(3))), mtime="1.5"),
    }  # fmt: skip
    parts = [
        raw(b"pax_global_header", pax(comment="of git"), b"g"),
        raw(b"PaxHeaders/1", records["x"], b"x"), raw(b"1.jpg", jpeg(1)),
        raw(b"././@LongLink", records["L"], b"L"), raw(b"2.jpg", jpeg(2)),
        raw(b"PaxHeaders/3", records["size"], b"X"), block(b"3.jpg", 0), data(jpeg(3)),
        raw(b"././@LongLink", b"airfield/4.jpg", b"K"), block(b"airfield/5.jpg", 0, b"1", b"x"),
        raw(b"PaxHeaders/1", pax(linkpath="3.jpg"), b"x"), block(b"airfield/6.jpg", 0, b"2", b"x"),
        raw(b"airfield/4.jpg", jpeg(4)), END,
    ]  # fmt: skip
    status, lines = pack(write(tmp_path / "a.tar", *parts))
    assert status == 0
    assert packed(tmp_path / "root") == {
        f"{long}1": jpeg(1), f"{long}2": jpeg(2), "airfield/3": jpeg(3), "airfield/4": jpeg(4),
        "airfield/6": jpeg(3),
    }  # fmt: skip
    assert lines[1] == "  left out (no files): airfield/5.jpg (a link to nothing)"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "told",
    [
        raw(b"p", pax(size="-1"), b"x"), raw(b"p", pax(size="1" * 30), b"x"),
        raw(b"p", pax(size="9" * 5000), b"x"), raw(b"p", pax(size=""), b"x"),
        raw(b"p", pax(size="1e3"), b"x"), raw(b"p", pax(size="x"), b"x"),
        raw(b"p", pax(path=""), b"x"), raw(b"p", pax(path="a\0b"), b"x"),
        raw(b"p", pax(path="n" * 5000), b"x"), raw(b"p", b"n" * 5000, b"L"), raw(b"p", b"", b"L"),
        raw(b"p", pax(path="a.jpg"), b"g"), raw(b"p", pax(size="3"), b"g"),
        raw(b"p", b"99999999999999999999 path=x\n", b"x"), raw(b"p", b"-5 path=x\n", b"x"),
        raw(b"p", b"0 path=x\n", b"x"), raw(b"p", b"12 path=x\n\n", b"x"), raw(b"p", b"path", b"x"),
        raw(b"p", b"9 path=xy", b"x"), raw(b"p", b"3 p", b"x"), block(b"p", 1 << 30, b"x"),
        raw(b"p", pax(comment="c" * (1 << 20)), b"x"),
        raw(b"p", pax(path="a.jpg"), b"x") + raw(b"p", b"b.jpg", b"L"),
    ],
)  # fmt: skip
def test_damaged_or_odd_extended_headers_are_refused(
    tmp_path: Path, pack: Run, run: Run, told: bytes
) -> None:
    path = write(tmp_path / "val-0.tar", told, raw(b"airfield/1.jpg", jpeg(1)), END)
    for status, lines in (pack(path), run("verify", tmp_path, "--index")):
        assert status == 2
        assert "is damaged" in lines[0] or "is cut short" in lines[0]


def test_a_name_without_a_member_is_refused(tmp_path: Path, pack: Run) -> None:
    parts = raw(b"airfield/1.jpg", jpeg(1)), raw(b"p", pax(path="airfield/2.jpg"), b"x"), END
    status, lines = pack(write(tmp_path / "a.tar", *parts))
    assert (status, "no member behind its name" in lines[0]) == (2, True)


def test_sparse_files_are_left_out_by_their_names(tmp_path: Path, pack: Run) -> None:
    old = bytearray(block(b"airfield/1.jpg", 512, b"S"))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    maps = bytes(504) + b"\1" + bytes(7) + bytes(512)
    parts = [
        bytes(old), maps, data(b"x" * 512),
        raw(b"PaxHeaders/2", pax(GNU__sparse__major="1", GNU__sparse__name="airfield/2.jpg"), b"x"),
        raw(b"GNUSparseFile.0/2.jpg", b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)),
        raw(b"airfield/3.jpg", jpeg(3)), END,
    ]  # fmt: skip
    status, lines = pack(write(tmp_path / "a.tar", *parts))
    assert status == 0
    assert packed(tmp_path / "root") == {"airfield/3": jpeg(3)}
    left_out = "airfield/1.jpg (a sparse file), airfield/2.jpg (a sparse file)"
    assert lines[1] == f"  left out (no files): {left_out}"


# What is told of all that


def test_the_sum_of_members_is_told_with_a_limit(tmp_path: Path, run: Run) -> None:
    path = write_parts(tmp_path / "a.tar", [*PICTURES, Part("notes.txt"), Part("airfield/1.png")])
    words = ["--root", tmp_path / "root", "--split", "val", "--skip_other_files", "--limit", 2]
    assert run("pack", path, *words)[1] == [
        f"val: packed, 2 pictures in 1 shard, 0.0 MB, in {tmp_path}/root; "
        "5 members = 2 packed + 2 left out + 1 beyond the limit",
        "  left out (other formats than JPEG): airfield/1.png",
        "  left out (no pictures, or hidden): notes.txt",
    ]
