"""`places doctor`: what is wrong is told with what to type, and the exit status says so."""

import json
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from places.cli.main import main
from places.doctor.finding import Finding
from places.doctor.machine import core_findings, gpu_findings, limit_findings
from places.doctor.packages import requirement_findings
from places.doctor.services import wandb_findings
from places.doctor.storage import data_findings, kind_of_disk, runs_findings


def _problems(findings: object) -> dict[str, Finding]:
    found = list(findings)  # type: ignore[call-overload]  # all are iterators
    return {finding.topic: finding for finding in found if finding.problem}


def test_a_machine_that_is_ready(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(sample)]) == 0
    text = capsys.readouterr().out
    assert f"torch                   {metadata.version('torch')}" in text
    assert "split train" in text
    assert text.endswith("all is well\n")


def test_json_has_all_that_the_table_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--root", str(tmp_path / "none"), "--json"]) == 1
    rows = {row["topic"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows["data"]) == {"topic", "seen", "problem", "remedy"}
    assert rows["data"]["problem"] == "nothing to train on"
    assert "places sample --root" in rows["data"]["remedy"]
    assert rows["lightning"]["problem"] == ""
    assert main(["doctor", "--root", str(tmp_path / "none")]) == 1
    assert "1 thing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2.6.2", "malware"),
        ("2.6.3", "malware"),
        ("2.5.0", "places needs"),
        (None, "not installed"),
    ],
)
def test_a_package_that_is_not_the_one_that_is_needed(
    version: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", installed)
    (found,) = _problems(requirement_findings([Requirement("lightning>=2.6.6,<2.7")])).values()
    assert words in found.problem
    assert found.remedy == "pip install 'lightning<2.7,>=2.6.6'"


def test_a_package_of_an_extra_need_not_be_there_but_must_fit() -> None:
    missing = Requirement("no-such-package>=1; extra == 's3'")
    other_system = Requirement("no-such-package; sys_platform == 'plan9'")
    old = Requirement("numpy>=99; extra == 's3'")
    found = list(requirement_findings([missing, other_system, old]))
    assert [(finding.topic, bool(finding.problem)) for finding in found] == [
        ("no-such-package", False),
        ("numpy", True),
    ]


@pytest.mark.parametrize("threads", ["0", "many", "-1", "100000", "\x1b[31m"])
def test_threads_that_do_not_fit(threads: str, tmp_path: Path) -> None:
    found = _problems(core_findings({"OMP_NUM_THREADS": threads}, tmp_path / "none"))
    assert found["threads of torch"].remedy == "unset OMP_NUM_THREADS"


@pytest.mark.parametrize(
    ("limit", "is_less"),
    [("10000 100000", True), ("max 100000", False), ("1 0", False), ("", False)],
)
def test_a_container_that_gets_less_than_its_cores(
    limit: str, is_less: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    found = _problems(core_findings({"OMP_NUM_THREADS": "1"}, tmp_path / "cpu.max"))
    assert ("cores" in found) == is_less
    assert not is_less or "0.1 only" in found["cores"].problem


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 512))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(64 << 20, 0, 0))
    found = _problems(limit_findings(tmp_path))
    assert "1,024" in found["open files"].problem
    assert found["shared memory"].seen == "64 MB"
    monkeypatch.undo()
    assert not list(limit_findings(tmp_path / "none"))[1:]


def test_a_driver_that_torch_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA 580.159.03\nGCC version: 13\n")
    found = _problems(gpu_findings(driver))
    assert found["GPU"].seen == "NVRM version: NVIDIA 580.159.03"
    assert "nvidia-smi" in found["GPU"].remedy
    assert not _problems(gpu_findings(tmp_path / "none"))


def test_each_gpu_is_told_with_its_memory_and_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA H100", total_memory=85_000_000_000)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _number: card)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda number: (9, number))
    built, *gpus = gpu_findings()
    assert built.topic == "torch is built"
    assert {gpu.topic: gpu.seen for gpu in gpus} == {
        "GPU 0": "NVIDIA H100, 85 GB, sm_90",
        "GPU 1": "NVIDIA H100, 85 GB, sm_91",
    }


def test_shards_that_are_cut_gone_or_of_a_broken_manifest(sample: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(sample, root)
    assert not _problems(data_findings(root))
    shard = next(root.glob("val-*.tar"))
    shard.write_bytes(shard.read_bytes()[:-512])
    next(root.glob("train-*.tar")).unlink()
    (root / "test.json").write_text("{")
    found = _problems(data_findings(root))
    assert set(found) == {"split train", "split val", "split test"}
    assert shard.name in found["split val"].problem
    assert all(finding.remedy == f"places verify {root}" for finding in found.values())


def test_a_folder_without_shards(tmp_path: Path) -> None:
    assert _problems(data_findings(tmp_path))["data"].problem == "no shards in it"


def test_runs_need_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _problems(runs_findings(tmp_path / "not" / "yet"))
    usage = shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert _problems(runs_findings(tmp_path))["disk of the runs"].remedy.startswith("places runs")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in _problems(runs_findings(tmp_path / "file"))["runs"].problem


def test_the_disk_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    here = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {here} nfs4 rw 0 0\nodd\n")
    (tmp_path / "data").mkdir()
    assert kind_of_disk(tmp_path / "data", mounts) == "nfs4"
    assert kind_of_disk(Path("/"), mounts) == "ext4"
    assert kind_of_disk(tmp_path, tmp_path / "none") == "unknown"


@pytest.mark.parametrize(
    ("environment", "login", "words"),
    [
        ({}, "", "wandb login"),
        ({}, "machine api.wandb.ai login user password 0123456789", "logged in"),
        ({}, "machine other.example login user password 0123456789", "wandb login"),
        ({}, "no such words", "wandb login"),
        ({"WANDB_API_KEY": "0123456789"}, "", "WANDB_API_KEY"),
        ({"WANDB_MODE": "offline"}, "", "wandb sync"),
        ({"WANDB_MODE": "disabled"}, "", "disabled"),
    ],
)
def test_whether_runs_arrive_at_wandb(
    environment: dict[str, str], login: str, words: str, tmp_path: Path
) -> None:
    if login:
        (tmp_path / ".netrc").write_text(login)
        (tmp_path / ".netrc").chmod(0o600)
    (found,) = wandb_findings(environment, tmp_path)
    assert words in found.seen
    assert "0123456789" not in str(found)
