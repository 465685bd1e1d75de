"""Shards behind a URL, opened from a bounded local cache and fetched ahead of time.

Each process computes from the plan of its whole machine what is wanted when, so all together stay
within the bound without talking to each other.
"""

import logging
import math
import os
import threading
import time

from places.data.remote.cache import CacheFolder, Wait, cache_error, touch
from places.data.remote.checks import CacheChecks
from places.data.remote.failures import StoppedError
from places.data.remote.fetch import Files, discard_if_damaged, open_shard
from places.data.remote.shard_uses import ShardUses, longest_horizon, peak_bytes
from places.data.remote.urls import TIMEOUT_S, open_url
from places.data.shards.manifest import Manifest
from places.errors import ConfigError, DataError

SHORTEST_HORIZON = 8  # batches; a few are decoded while one is used
PATIENCE_S = 60.0  # how long `open` waits for room in the cache
NUM_PREFETCHERS = 4  # a single connection to an object store is slow

_POLL_S = 0.05  # how often a file is looked for that somebody else fetches
_SET_ASIDE_S = 300.0  # how long prefetching leaves a shard alone that could not be fetched
_logger = logging.getLogger("places.data.remote.fetch")


class RemoteShards:
    """Opens the shards of one split, fetching them when they are not in the local cache.

    Safe to use from many threads and processes at the same time.

    Args:
        source: The URL of the folder with the shards; or the shards, each behind its own URL.
        manifest: What `fetch_manifest` or `keep_manifest` returned for it.
        cache_size_bytes: The most bytes of the whole cache, over all splits and URLs.
        prefetch_share: Part of it that may be filled ahead of time; the rest is for other splits,
            which are read in between.
        timeout_s: How long to be patient with each shard, see `Patience`.
        checks: What is known of the shards in the cache; of another epoch, for instance.
    """

    def __init__(
        self,
        source: str | Files,
        manifest: Manifest,
        cache_size_bytes: int,
        prefetch_share: float = 1.0,
        timeout_s: float = TIMEOUT_S,
        checks: CacheChecks | None = None,
    ) -> None:
        self._shards, self._paths = manifest.shards, manifest.shard_paths
        self._remote: Files = (
            open_url(source, timeout_s=timeout_s) if isinstance(source, str) else source
        )
        self._checks = checks or CacheChecks()
        self._folder = CacheFolder(manifest.root, cache_size_bytes)
        self._prefetch_share = prefetch_share
        self._changed = threading.Condition()  # guards everything below
        self._steps: dict[int, tuple[int, int]] = {}  # first and last use, in order of first use
        self._step = self._horizon = 0
        self._held: dict[int, int] = {}  # descriptors by shard, which keep files in the cache
        self._set_aside: dict[int, float] = {}  # shards that prefetching leaves alone until then
        self._failed: dict[int, DataError] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self, shard: int) -> int:
        """Return a new read-only descriptor of a shard, for the caller to close.

        The shard is fetched first if need be. It stays in the cache while the descriptor is open.

        Raises:
            DataError: It is missing or damaged.
            StorageError: It cannot be fetched, there is no room for it, or `cancel` was called.
        """
        stop, wanted, wait_start_s = self._stop, self._shards[shard], time.monotonic()
        while isinstance(file := self._open_now(shard, stop), Wait):
            if file is Wait.BUSY:
                wait_start_s = time.monotonic()
            elif time.monotonic() - wait_start_s > PATIENCE_S:
                raise self._folder.full(wanted.name, wanted.size_bytes)
            if stop.wait(_POLL_S):
                raise StoppedError(f"{wanted.name} was closed before it was fetched")
        return file

    def renew(self, shard: int, file: int) -> int | None:
        """Find out whether the cache damaged a shard that holds something unreadable.

        Args:
            shard: The shard.
            file: The descriptor that was read from.

        Returns:
            A new descriptor of the shard, fetched again, for the caller to close; `None` if it is
            what its manifest describes, so that the server has it like this.

        Raises:
            DataError: It is missing on the server by now.
            StorageError: It cannot be fetched, or the cache damages it each time.
        """
        wanted = self._shards[shard]
        try:
            if not discard_if_damaged(self._folder, wanted, file, self._stop, self._checks):
                return None
        except OSError as error:
            raise cache_error(f"cannot check {self._paths[shard]}", error) from error
        opened = self.open(shard)
        self._hold(shard, os.dup(opened))
        return opened

    def follow(self, uses: ShardUses, first_step: int) -> None:
        """Fetch the shards of one epoch ahead of time, in the background; replaces earlier ones.

        Args:
            uses: When which shard is read by any process of this machine.
            first_step: The step to begin with.

        Raises:
            ConfigError: The shards that are read at the same time do not fit into the cache.
        """
        horizon = self._horizon_of(uses)
        steps = zip(uses.first_step.tolist(), uses.last_step.tolist(), strict=True)
        with self._changed:
            self._steps = dict(zip(uses.shards.tolist(), steps, strict=True))
            self._step, self._horizon = first_step, horizon
            self._set_aside.clear()
            self._failed.clear()
            self._release()
            while len(self._threads) < NUM_PREFETCHERS:
                # Daemons: a process that ends does not wait for a download.
                name, stop = f"places-fetch-{len(self._threads)}", (self._stop,)
                thread = threading.Thread(None, self._prefetch, name, stop, daemon=True)
                thread.start()
                self._threads.append(thread)
            self._changed.notify_all()

    def advance(self, step: int) -> None:
        """Note that the batches up to and including `step` are done.

        Shards without a later use may be removed from the cache, and others fetched.
        """
        with self._changed:
            self._step = step + 1
            self._release()
            self._changed.notify_all()

    def cancel(self) -> None:
        """End all waiting in `open` with an error, also that to come, until `close` is called."""
        self._stop.set()

    def close(self) -> None:
        """End fetching and let go of all shards; partial files are kept. `open` works again."""
        with self._changed:
            self._stop.set()
            self._stop = threading.Event()
            self._steps = {}
            self._release()
            self._failed.clear()
            threads, self._threads = self._threads, []
            self._changed.notify_all()
        for thread in threads:
            thread.join(timeout=3)  # a slow disk may hold it longer

    def _open_now(self, shard: int, stop: threading.Event) -> int | Wait:
        with self._changed:
            if failed := self._failed.get(shard):
                raise type(failed)(failed.message, *failed.hint)
        try:
            return self._open_shard(shard, stop)
        except DataError as error:
            with self._changed:
                if shard in self._steps and not isinstance(error, StoppedError):
                    self._failed[shard] = error  # later calls fail at once, not after as many tries
            raise

    def _open_shard(self, shard: int, stop: threading.Event) -> int | Wait:
        return open_shard(self._folder, self._remote, self._shards[shard], stop, self._checks)

    def _prefetch(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                is_progress = self._fetch_next(stop)
            except OSError as error:  # no reason to stop: `open` fetches what is needed now
                _logger.warning("nothing is fetched ahead: %s", error)
                is_progress = False
            if not is_progress:
                with self._changed:
                    self._changed.wait(0 if stop.is_set() else _POLL_S * 4)

    def _fetch_next(self, stop: threading.Event) -> bool:
        """Fetch the most urgent shard that nobody else fetches; tell whether there was one."""
        # First hold what is there already, so that it is not removed to make room for the others.
        for shard in self._wanted():
            file = self._folder.open(self._shards[shard].name, self._shards[shard].size_bytes)
            if file is not None:
                self._hold(shard, file)
        for shard in self._wanted():
            try:
                outcome = self._open_shard(shard, stop)
            except StoppedError:
                return False
            except DataError as error:
                # No failure yet: by the time that the shard is needed the server may answer again.
                _logger.warning("%s is left for later: %s", self._shards[shard].name, error.message)
                self._set_aside[shard] = time.monotonic() + _SET_ASIDE_S
                continue
            if outcome is Wait.FULL:
                return False  # less urgent ones get no room before this one
            if isinstance(outcome, int):
                self._hold(shard, outcome)
                return True
        return False

    def _wanted(self) -> list[int]:
        """Return the shards to fetch now, the most urgent first."""
        now = time.monotonic()
        with self._changed:
            return [
                shard
                for shard in self._steps
                if self._is_near(shard)
                and (shard not in self._held or self._checks.is_due(self._paths[shard]))
                and self._set_aside.get(shard, 0.0) <= now
            ]

    def _is_near(self, shard: int) -> bool:
        first_step, last_step = self._steps.get(shard, (0, -1))
        return first_step <= self._step + self._horizon and last_step >= self._step

    def _hold(self, shard: int, file: int) -> None:
        """Keep a shard in the cache while it is near."""
        with self._changed:
            if not self._is_near(shard):
                os.close(file)
                return
            before = self._held.pop(shard, None)
            self._held[shard] = file  # the newer one: the other may be that of a damaged file
            if before is not None:
                os.close(before)

    def _release(self) -> None:
        for shard in [shard for shard in self._held if not self._is_near(shard)]:
            touch(self._held[shard])
            os.close(self._held.pop(shard))

    def _horizon_of(self, uses: ShardUses) -> int:
        sizes_bytes = [shard.size_bytes for shard in self._shards]
        limit_bytes = self._folder.limit_bytes
        try:
            kept_bytes = self._folder.kept_bytes()
        except OSError as error:
            raise cache_error(f"cannot use the cache {self._folder.cache}", error) from error
        usable_bytes = int(limit_bytes * self._prefetch_share) - kept_bytes
        horizon = longest_horizon(uses, sizes_bytes, usable_bytes, SHORTEST_HORIZON)
        if horizon is None:
            in_use_bytes = peak_bytes(uses, sizes_bytes, SHORTEST_HORIZON) + kept_bytes
            needed_bytes = math.ceil(in_use_bytes / self._prefetch_share)
            enough_gb = math.ceil(needed_bytes / 1e8) / 10
            raise ConfigError(
                f"`cache_size_gb` {limit_bytes / 1e9:g} is too small for the shards in use",
                f"needed:  {needed_bytes:,} bytes      given: {limit_bytes:,} bytes",
                f"type:    `cache_size_gb` {enough_gb:g}, or a small `shuffle_window`",
            )
        return horizon
