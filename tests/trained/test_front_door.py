from pathlib import Path

import pytest
from tests.trained.programs import alone

import places


def test_the_public_names_are_few_and_stay() -> None:
    names = ["Category", "Prediction", "TrainedModel", "data", "errors", "load", "models"]
    assert places.__all__ == names
    for name in names:
        assert getattr(places, name).__name__.rpartition(".")[2] == name
        assert name in dir(places)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        places.lode  # noqa: B018  # that is the test


def test_importing_places_imports_nothing() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'lightning', 'yaml', 'rich', 'cv2'}"
    assert alone(f"import sys, places; print({heavy} & set(sys.modules))") == "set()\n"


def test_everything_is_found_after_importing_places_alone() -> None:
    program = """
        import places
        print(places.data.open.__name__, places.models.ResNet.__name__, places.errors.DataError)
        from places import load
        import places.trained.loading
        print(places.load is load is places.trained.loading.load)
    """
    assert alone(program) == "open ResNet <class 'places.errors.DataError'>\nTrue\n"


def test_loading_and_predicting_import_neither_lightning_nor_the_command_line(
    run_folder: Path, photos: list[Path]
) -> None:
    program = """
        import sys, places
        model = places.load(sys.argv[1], device="cpu")
        answers = model.predict(sys.argv[2:])
        model.embed(sys.argv[2])
        heavy = {"lightning", "pytorch_lightning", "jsonargparse", "torchmetrics"}
        print(len(answers), heavy & {name.partition(".")[0] for name in sys.modules})
    """
    assert alone(program, run_folder, *photos[:2]) == "2 set()\n"
