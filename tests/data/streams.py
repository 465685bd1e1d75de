"""Shards of the sample, cut into several unequal ones, for tests of reading in sequence."""

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from webdataset.tariterators import group_by_keys, tar_file_expander

from places.cli.main import main

VAL_SIZES = (10, 3, 9, 8, 6)  # pictures of each shard
TRAIN_SIZES = (30, 20, 25, 21)

Member = tuple[str, bytes]


def members_in(*tars: Path) -> Iterator[list[Member]]:
    """Yield the members of each sample, as webdataset finds them."""
    for path in tars:
        with path.open("rb") as file:
            for sample in group_by_keys(tar_file_expander([{"url": path.name, "stream": file}])):
                ends = [end for end in sample if not end.startswith("__")]
                yield [(f"{sample['__key__']}.{end}", sample[end]) for end in ends]


def write_tar(path: Path, members: Sequence[Member]) -> Path:
    """Write a tar by Python's own module."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def cut_up(sample: Path, root: Path) -> Path:
    """Write the val and train splits of a sample as several shards, and index them."""
    root.mkdir(exist_ok=True)
    for split, sizes in (("val", VAL_SIZES), ("train", TRAIN_SIZES)):
        samples = members_in(*sorted(sample.glob(f"{split}-*.tar")))
        paths = []
        for number, size in enumerate(sizes):
            members = [member for _ in range(size) for member in next(samples)]
            paths.append(write_tar(root / f"{split}-{number:06d}.tar", members))
        assert next(samples, None) is None
        assert main(["index", *map(str, paths), "--root", str(root), "--split", split]) == 0
    return root


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; yields its URL."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
