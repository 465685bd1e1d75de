"""How much memory a run took at most so far."""

import resource

import torch

_GIB = 2**30


def memory_peaks(device: torch.device) -> dict[str, float]:
    """Return the peaks of this process, without waiting for the device.

    `memory/process_gib`: what it had in the memory of the machine. `memory/device_gib`: what its
    tensors took on a CUDA device.

    Args:
        device: Where the network is.
    """
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB on Linux
    peaks = {"memory/process_gib": peak_kib * 1024 / _GIB}
    if device.type == "cuda":
        peaks["memory/device_gib"] = torch.cuda.max_memory_allocated(device) / _GIB
    return peaks
