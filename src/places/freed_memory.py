"""What becomes of memory that is freed: kept for the next batch, or given back to the system."""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_KEPT_BYTES = 1 << 30
_NEVER = -1


def keep_freed_memory() -> bool:
    """Keep memory that is freed, up to 1 GiB a piece, for what is allocated next.

    glibc gives a piece of 32 MiB or more back to the system as soon as it is freed. On a processor
    the output of a layer is one (103 MB after the first layers of ResNet-50 with a batch of 32), so
    each layer waits until the system has written zeros into its memory. docs/runtime.md says what
    that takes. More memory is in use in return: a fifth in `predict`, a third in training, which
    therefore goes without.

    Nothing is changed where somebody has set `MALLOC_*` or `GLIBC_TUNABLES`, nor without glibc, nor
    by a glibc before 2.35, to which the threshold is too large.

    Returns:
        Whether it is kept.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None or not set_option(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES):
        return False
    return bool(set_option(_TRIM_THRESHOLD, _NEVER))
