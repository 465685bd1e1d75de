"""How much energy the machine has used, where it tells."""

from collections.abc import Callable
from pathlib import Path

import torch

_POWERCAP = Path("/sys/class/powercap")

Meter = Callable[[], float]  # joules since some moment


def energy_meter(device: torch.device, powercap: Path = _POWERCAP) -> tuple[Meter | None, str]:
    """Return what tells the energy used by a device, and where its numbers come from.

    Args:
        device: A GPU, or the CPU.
        powercap: Folder of Linux with the counters of processors.

    Returns:
        `None` in place of the meter if the machine does not tell; then the text says why.
    """
    return _nvml_meter(device) if device.type == "cuda" else _rapl_meter(powercap)


def _rapl_meter(powercap: Path) -> tuple[Meter | None, str]:
    """Read the counters of whole processors, which wrap around at a known number."""
    packages = [
        path
        for path in sorted(powercap.glob("intel-rapl:*"))
        if path.name.count(":") == 1 and (path / "energy_uj").exists()
    ]
    if not packages:
        return None, "unknown: this machine has no RAPL counters"
    try:
        ranges = [int((path / "max_energy_range_uj").read_text()) for path in packages]
        last = [int((path / "energy_uj").read_text()) for path in packages]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no number"
        return None, f"unknown: the RAPL counters cannot be read ({reason}; root may)"
    total_uj = 0

    def read() -> float:
        nonlocal total_uj
        for number, path in enumerate(packages):
            now = int((path / "energy_uj").read_text())
            total_uj += now - last[number] + (ranges[number] if now < last[number] else 0)
            last[number] = now
        return total_uj / 1e6

    return read, "RAPL, whole processors, whatever else runs on them"


def _nvml_meter(device: torch.device) -> tuple[Meter | None, str]:
    try:
        import pynvml
    except ModuleNotFoundError:
        return None, "unknown: NVML is not installed (pip install nvidia-ml-py)"
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception as error:  # a driver, a container or a card that does not tell
        return None, f"unknown: NVML does not tell ({error})"

    def read() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

    return read, "NVML, the whole card"
