from pathlib import Path

from places.reports.row_file import RowFile


def test_rows_of_all_processes_come_in_one_order(tmp_path: Path) -> None:
    files = [RowFile(tmp_path / "new" / "table.csv", rank, 3) for rank in range(3)]
    for position in range(20):
        files[position % 3].write(position, [f"row {position}", 'a "quoted",\nbroken line'])
    for file in files:
        file.close()
    assert [row[0] for row in files[0].merged()] == [f"row {position}" for position in range(20)]
    assert next(iter(files[0].merged()))[1] == 'a "quoted",\nbroken line'
    files[0].remove()
    assert not list((tmp_path / "new").iterdir())


def test_a_process_without_rows_is_no_obstacle(tmp_path: Path) -> None:
    files = [RowFile(tmp_path / "table.csv", rank, 2) for rank in range(2)]
    files[0].write(0, ["only"])
    for file in files:
        file.close()
    assert list(files[0].merged()) == [["only"]]
