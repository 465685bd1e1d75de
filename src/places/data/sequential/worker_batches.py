"""Batches that worker processes make, each of shards of its own: PyTorch's DataLoader."""

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from places.data.sequential.rows import Fault, batch_from, evaluation_rows, training_rows
from places.data.sequential.samples import Picture, pictures_of
from places.data.sequential.shards import SequentialShard
from places.data.streaming.batches import EvalCrop, TrainCrop
from places.data.streaming.stream import Batch
from places.endings.family import end_with
from places.endings.signals import ENDING
from places.errors import DataError, PlacesError, StorageError
from places.hashing import hash_of, shuffled


class Failure(NamedTuple):
    """What ended a worker process."""

    kind: type[PlacesError] | None  # none for a mistake in the program
    lines: tuple[str, ...]

    def error(self) -> Exception:
        """Return it as an error of this process."""
        return self.kind(*self.lines) if self.kind else RuntimeError("\n".join(self.lines))


Delivered = tuple[Batch, list[Fault]] | Failure


@dataclass(frozen=True)
class Share:
    """Which part of a split a process reads, by how many workers.

    A worker reads whole shards: each process takes every so many of them, and of these each of its
    workers, as webdataset's `split_by_node` and `split_by_worker` do.
    """

    shards: tuple[SequentialShard, ...]  # of the split, in the order of reading
    batch_size: int  # of this process
    rank: int
    num_ranks: int
    num_workers: int  # at most

    def shards_of(self, rank: int) -> tuple[SequentialShard, ...]:
        """Return what a process reads."""
        return self.shards[rank :: self.num_ranks]

    def num_workers_of(self, rank: int) -> int:
        """Return how many workers a process has to evaluate: none without a shard to read.

        Not more than there are batches: each of them may fill up a batch of its own.
        """
        shards = self.shards_of(rank)
        nums = [shard.num_samples for shard in shards if shard.num_samples is not None]
        num_batches = sum(nums) // self.batch_size if len(nums) == len(shards) else len(shards)
        return min(self.num_workers, len(shards), max(1, num_batches))

    def num_eval_batches(self) -> int | None:
        """Return how many batches hold each picture once, on the process that has the most.

        `None` if it is not known how many pictures each shard holds.
        """
        if any(shard.num_samples is None for shard in self.shards):
            return None
        return max(self._num_batches_of(rank) for rank in range(self.num_ranks))

    def _num_batches_of(self, rank: int) -> int:
        shards, num_workers = self.shards_of(rank), self.num_workers_of(rank)
        nums = (
            sum(shard.num_samples or 0 for shard in shards[worker::num_workers])
            for worker in range(num_workers)
        )
        return sum(-(-num // self.batch_size) for num in nums)


def training_batches(
    share: Share, crop: TrainCrop, *, num_batches: int, buffer: int, seed: int, pin_memory: bool
) -> Generator[Delivered, None, None]:
    """Yield a number of batches of random crops, in an order that depends on who reads what.

    A worker that comes to the end of its shards begins again with the first of them.

    Args:
        share: What is read.
        crop: How pictures are cut.
        num_batches: How many batches.
        buffer: How many pictures a worker holds, of which the next is drawn.
        seed: Of the order, the crops and the flips; the same on all processes.
        pin_memory: See `places.data.streaming.stream.stream`.
    """
    order = shuffled(len(share.shards), hash_of(seed)).tolist()
    shards = tuple(share.shards[number] for number in order)
    num_workers = len(shards[share.rank :: share.num_ranks][: share.num_workers])

    def run(worker: int) -> Iterator[Delivered]:
        own_seed = hash_of(seed, share.rank, worker)
        fill = training_rows(crop, own_seed)
        pictures = _repeated(shards, buffer, own_seed)
        for number in range(-(-(num_batches - worker) // num_workers)):
            some = list(islice(pictures, share.batch_size))
            if not some:
                raise DataError("no pictures in the shards that a worker process reads")
            first = number * share.batch_size
            fills = [fill(first + row) for row in range(len(some))]
            yield batch_from(some, fills, share.batch_size, (crop.image_size, crop.image_size))

    return _in_processes(run, share.rank, share.num_ranks, num_workers, pin_memory)


def evaluation_batches(
    share: Share, crop: EvalCrop, *, pin_memory: bool
) -> Generator[Delivered, None, None]:
    """Yield batches that hold each picture of this process's shards once, the last ones filled up.

    Args:
        share: What is read.
        crop: How pictures are cut.
        pin_memory: See `places.data.streaming.stream.stream`.
    """

    def run(worker: int) -> Iterator[Delivered]:
        pictures = pictures_of(share.shards, is_shared=True)
        shape = crop.num_crops * crop.image_size, crop.image_size
        fill = evaluation_rows(crop)
        while some := list(islice(pictures, share.batch_size)):
            fills = [fill(picture.number) for picture in some]
            yield batch_from(some, fills, share.batch_size, shape)

    num_workers = share.num_workers_of(share.rank)
    return _in_processes(run, share.rank, share.num_ranks, num_workers, pin_memory)


def _repeated(shards: Sequence[SequentialShard], buffer: int, seed: int) -> Iterator[Picture]:
    for turn in count():
        is_empty = True
        for picture in pictures_of(shards, is_shared=True, buffer=buffer, seed=hash_of(seed, turn)):
            is_empty = False
            yield picture
        if is_empty:
            return


class _Runs(IterableDataset[Delivered]):
    """What each worker process runs. What ends it is handed on: PyTorch would make a text of it."""

    def __init__(self, run: Callable[[int], Iterator[Delivered]]) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Delivered]:
        worker = get_worker_info()
        assert worker is not None
        try:
            yield from self._run(worker.id)
        except PlacesError as error:
            yield Failure(type(error), (error.message, *error.hint))
        except Exception:
            yield Failure(None, (traceback.format_exc(),))


def _in_processes(
    run: Callable[[int], Iterator[Delivered]],
    rank: int,
    num_ranks: int,
    num_workers: int,
    pin_memory: bool,
) -> Generator[Delivered, None, None]:
    if not num_workers:
        return
    with _started_apart():
        batches = iter(
            DataLoader(
                _Runs(run),
                batch_size=None,
                num_workers=num_workers,
                collate_fn=_as_it_is,
                pin_memory=pin_memory,
                worker_init_fn=lambda worker: _begin(rank, num_ranks),
                multiprocessing_context="fork",  # nothing is imported again, nothing pickled
                generator=torch.Generator(),  # that of the network draws no number for it
            )
        )
    lost = None
    try:
        yield from batches
    except (RuntimeError, OSError, EOFError) as error:
        lost = _lost(error)
        if lost is None:
            raise
    finally:
        del batches  # ends the processes
    if lost:
        raise lost


@contextmanager
def _started_apart() -> Iterator[None]:
    """Let processes that are forked meanwhile hear of no signals, and PyTorch of none of theirs.

    Signals come to all processes of a terminal or of a job. The first process answers them, perhaps
    by writing a checkpoint after its step, and needs its workers until then.

    Of a worker that was killed PyTorch would tell by an error between any two instructions of this
    process. Without its handler it does so where it waits for the worker.
    """
    is_main = threading.current_thread() is threading.main_thread()
    at_end = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        with warnings.catch_warnings():
            # More processes than cores were asked for; and that forking is not safe everywhere.
            warnings.simplefilter("ignore")
            yield
    finally:
        if is_main:
            signal.signal(signal.SIGCHLD, at_end or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _as_it_is(delivered: Any) -> Any:  # noqa: ANN401  # what PyTorch's types ask for
    return delivered


def _begin(rank: int, num_ranks: int) -> None:
    """Make a process a worker, which ends with the one that forked it."""
    end_with(os.getppid())
    threading.Thread(target=_end_when_told, args=(os.getppid(),), daemon=True).start()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata, which nobody uses here
    sys.excepthook = lambda *_: None  # of threads of Python's own: what matters is handed on
    # webdataset asks these first, and a launcher may have set them for other processes.
    for name in ("WORKER", "NUM_WORKERS"):
        os.environ.pop(name, None)
    os.environ.update({"RANK": str(rank), "WORLD_SIZE": str(num_ranks)})


def _end_when_told(parent: int) -> None:
    """Wait for SIGTERM, which is blocked, and end if it comes from the parent."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def _lost(error: BaseException) -> StorageError | None:
    """Return what to do where a worker process was killed, or nothing more can come from it."""
    text = str(error).partition("\n")[0].strip() or type(error).__name__
    if isinstance(error, RuntimeError) and text.startswith("Too many open files"):
        return StorageError(
            "too many open files: no more batches can come from the processes that read pictures",
            "raise the limit:  ulimit -n 65536",
        )
    if isinstance(error, RuntimeError) and not text.startswith("DataLoader worker"):
        return None
    return StorageError(
        f"a process that reads pictures has ended: {text}",
        "mostly for want of memory, in a container of shared memory:  docker run --shm-size 8g",
        "take fewer:  `num_workers` 2",
    )
