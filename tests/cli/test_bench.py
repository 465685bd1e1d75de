import pytest

from places.cli.main import main


def test_the_parts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    assert "places bench loader ROOT" in capsys.readouterr().out
    assert main(["bench", "loder"]) == 2
    assert "nearest:  loader\n  parts:    loader, step" in capsys.readouterr().err
