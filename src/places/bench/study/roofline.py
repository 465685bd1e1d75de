"""What this machine can do at most: arithmetic per second, and bytes per second."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from places.bench.parts import now_s

_SIZES = {"cpu": 1024, "cuda": 8192}  # of square matrices
_COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # far more than any cache holds
_LEAST_S = {"cpu": 0.3, "cuda": 0.1}
_LEAST_RUNS = 3


@dataclass(frozen=True)
class Roofline:
    """The roof over what any operation can reach.

    Attributes:
        flops_per_s: The best product of two matrices, by the kind of numbers ("float32",
            "bfloat16"): two operations, a product and a sum, count for each multiply-add.
        bytes_per_s: The best copy in memory; what is read and what is written both count.
    """

    flops_per_s: dict[str, float]
    bytes_per_s: float

    def ridge(self, dtype: str = "float32") -> float:
        """Return the operations per byte below which memory is the bound, arithmetic above."""
        return self.flops_per_s[dtype] / self.bytes_per_s

    def least_s(self, flops: float, num_bytes: float, dtype: str = "float32") -> float:
        """Return the time in seconds below which an operation cannot come."""
        return max(flops / self.flops_per_s[dtype], num_bytes / self.bytes_per_s)


def measure_roofline(
    device: torch.device, size: int | None = None, copy_bytes: int | None = None
) -> Roofline:
    """Measure the roof of a device, with as many threads as PyTorch uses.

    On a GPU products of float32 may use TF32, as convolutions do by default. The best of several
    runs counts: what else runs on the machine only makes it lower.

    Args:
        device: The device.
        size: Rows and columns of the matrices.
        copy_bytes: How much to copy.
    """
    size = size or _SIZES[device.type]
    flops = {}
    with _tensor_cores():
        for dtype in (torch.float32, torch.bfloat16):
            first = torch.randn(size, size, device=device).to(dtype)
            second, into = first.t().contiguous(), torch.empty_like(first)
            best_s = _best_s(lambda a=first, b=second, c=into: torch.mm(a, b, out=c), device)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
            flops[str(dtype).removeprefix("torch.")] = 2 * size**3 / best_s
    source = torch.zeros((copy_bytes or _COPY_BYTES[device.type]) // 4, device=device)
    target = torch.ones_like(source)  # written once, so that the system has given the memory
    copied_s = _best_s(lambda: target.copy_(source), device)
    return Roofline(flops, 2 * 4 * source.numel() / copied_s)


@contextmanager
def _tensor_cores() -> Iterator[None]:
    """Let products of float32 use TF32 on a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # releases of PyTorch disagree on how this is to be said
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def _best_s(run: Callable[[], object], device: torch.device) -> float:
    run()
    start_s = time.perf_counter()
    durations: list[float] = []
    while len(durations) < _LEAST_RUNS or time.perf_counter() - start_s < _LEAST_S[device.type]:
        before_s = now_s(device)
        run()
        durations.append(now_s(device) - before_s)
    return min(durations)
