"""Processors, GPUs and the limits of the system."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from places.console import counted
from places.doctor.finding import Finding

_MIN_OPEN_FILES = 1024  # shards, connections and libraries of one process
_MIN_SHARED_MB = 512  # NCCL takes some for each pair of GPUs
_CGROUP = Path("/sys/fs/cgroup/cpu.max")
_SHARED = Path("/dev/shm")  # not a file of ours: its size is looked at
_THREADS = "OMP_NUM_THREADS"


def core_findings(environment: dict[str, str], cgroup: Path = _CGROUP) -> Iterator[Finding]:
    """Tell how many cores this process may use, and whether threads fit them.

    Args:
        environment: Variables of the environment.
        cgroup: File with the limit of a container.
    """
    num_cores = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    seen = f"{counted(num_cores, 'core')} for this process, {os.cpu_count()} in the machine"
    if quota is not None and quota < num_cores:
        problem = f"the container gets the time of {quota:g} only, so threads wait for each other"
        typed = f"--data.num_threads {max(1, round(quota))}, or give the container more"
        yield Finding("cores", seen, problem, typed)
    else:
        yield Finding("cores", seen)
    threads = environment.get(_THREADS, "")
    if not threads:
        yield Finding("threads of torch", f"as many as cores ({_THREADS} is not set)")
    elif not threads.isdecimal() or not 1 <= int(threads) <= num_cores:
        problem = f"{_THREADS}={threads[:40]!r} is not in 1..{num_cores}"
        yield Finding("threads of torch", threads[:40], problem, f"unset {_THREADS}")
    else:
        yield Finding("threads of torch", f"{threads}, by {_THREADS}")


def _quota(cgroup: Path) -> float | None:
    """Return how many cores' time a container gets, if that is limited."""
    try:
        limit, period = cgroup.read_text("ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def limit_findings(shared: Path = _SHARED) -> Iterator[Finding]:
    """Tell the limits of open files and of shared memory.

    Args:
        shared: Where shared memory lies.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    seen = f"{'unlimited' if soft == resource.RLIM_INFINITY else f'{soft:,}'}, may be {most}"
    if hard != resource.RLIM_INFINITY and hard < _MIN_OPEN_FILES:
        problem = f"shards and libraries of one process may need {_MIN_OPEN_FILES:,}"
        yield Finding("open files", seen, problem, "ask for nofile in /etc/security/limits.conf")
    else:
        yield Finding("open files", seen)  # places raises it up to the hard limit by itself
    try:
        size_mb = shutil.disk_usage(shared).total >> 20
    except OSError:
        return
    if size_mb < _MIN_SHARED_MB:
        problem = "too little for several GPUs, which talk through it"
        yield Finding("shared memory", f"{size_mb:,} MB", problem, "docker run --shm-size 8g ...")
    else:
        yield Finding("shared memory", f"{size_mb:,} MB")


def gpu_findings(driver: Path = Path("/proc/driver/nvidia/version")) -> Iterator[Finding]:
    """Tell which GPUs torch can use, and why not where a driver is there.

    Args:
        driver: File that NVIDIA's driver shows.
    """
    import torch

    built = torch.version.cuda
    seen = f"CUDA {built}" if built else "without CUDA"
    if torch.cuda.is_available():
        yield Finding("torch is built", seen)
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            size_gb, major, minor = properties.total_memory / 1e9, *_capability(number)
            yield Finding(
                f"GPU {number}", f"{properties.name}, {size_gb:.0f} GB, sm_{major}{minor}"
            )
        return
    if torch.backends.mps.is_available():
        yield Finding("GPU", "Apple's, by Metal")
    elif driver.is_file():
        reason = "torch is built without CUDA" if not built else "torch cannot use the driver"
        line = driver.read_text(errors="replace").partition("\n")[0][:200]
        typed = "nvidia-smi  shows the driver; https://pytorch.org/get-started names the build"
        yield Finding("GPU", line, reason, typed)
    else:
        yield Finding("GPU", f"none; torch is built {seen if not built else f'for {seen}'}")


def _capability(number: int) -> tuple[int, int]:
    import torch

    return torch.cuda.get_device_capability(number)
