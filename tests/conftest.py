"""What all tests share: a working folder of their own and a small packed sample."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In all processes alike: torch rounds sums differently with another number of threads.
os.environ["OMP_NUM_THREADS"] = "1"
# The default, but set: so commands that run in a process of pytest do not keep its memory.
os.environ.setdefault("MALLOC_ARENA_TEST", "8")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

# A busy machine is no bug: pytest-timeout ends what hangs.
settings.register_profile("places", deadline=None)
settings.load_profile("places")

# Where coverage tells child processes that they are measured.
COVERAGE_OF_CHILDREN = "COVERAGE_PROCESS_CONFIG"

SAMPLE_SIZES = {"--num_train": "96", "--num_val": "36", "--num_test": "26"}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in a folder of its own, so that `runs/` and the like land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure the first case only of a test with the mark `first_covers`."""
    seen = set()
    for item in items:
        if item.get_closest_marker("first_covers"):
            name = item.nodeid.partition("[")[0]
            if name in seen:
                item.add_marker("no_cover")
            seen.add(name)


@pytest.fixture(autouse=True)
def unmeasured_children(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the child processes of a test with the mark `no_cover` without coverage too."""
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv(COVERAGE_OF_CHILDREN, raising=False)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic sample, small, drawn and packed by the command; not to be written to."""
    from places.cli.main import main

    root = tmp_path_factory.mktemp("sample")
    sizes = [word for pair in SAMPLE_SIZES.items() for word in pair]
    assert main(["sample", "--root", str(root), *sizes]) == 0
    return root


@pytest.fixture(scope="session")
def raw_sample(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sample, packed as raw pixels by the command; not to be written to."""
    return _packed_again(sample, tmp_path_factory.mktemp("raw_sample"), "raw")


@pytest.fixture(scope="session")
def mixed_sample(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sample, half of it as raw pixels and half as JPEGs; not to be written to.

    A test on it goes both ways at once, in one batch and one shard.
    """
    return _packed_again(sample, tmp_path_factory.mktemp("mixed_sample"), "mixed:0.5")


def _packed_again(sample: Path, root: Path, pixels: str) -> Path:
    from places.cli.main import main

    archives = [str(path) for path in sorted((sample / "archives").glob("*.tar"))]
    assert main(["pack", *archives, "--root", str(root), "--pixels", pixels]) == 0
    (root / "archives").symlink_to(sample / "archives")
    return root
