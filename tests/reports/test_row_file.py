from pathlib import Path
from types import SimpleNamespace
from typing import Any

from places.reports.row_file import RowFile


def _open(folder: Path, num_ranks: int) -> list[RowFile]:
    trainers: list[Any] = [
        SimpleNamespace(
            global_rank=rank,
            world_size=num_ranks,
            is_global_zero=rank == 0,
            log_dir=str(folder),
            strategy=SimpleNamespace(barrier=lambda _: None),
        )
        for rank in range(num_ranks)
    ]
    return [RowFile(trainer, "table.csv") for trainer in trainers]


def test_rows_of_all_processes_come_in_one_order(tmp_path: Path) -> None:
    files = _open(tmp_path / "new", 3)
    for batch in range(4):
        for rank, file in enumerate(files):
            first = (batch * 3 + rank) * 2
            file.write(batch, [[f"row {first + row}", 'a "quoted",\nline'] for row in range(2)])
    assert [file.finish() for file in files[1:]] == [None, None]
    rows = list(files[0].finish() or [])
    assert rows == [[f"row {position}", 'a "quoted",\nline'] for position in range(24)]
    files[0].remove_parts()
    assert not list((tmp_path / "new").iterdir())


def test_rows_that_fill_up_a_batch_and_processes_without_rows_are_no_obstacle(
    tmp_path: Path,
) -> None:
    files = _open(tmp_path, 2)
    files[0].write(0, [["only"], None])
    assert files[1].finish() is None
    assert list(files[0].finish() or []) == [["only"]]
