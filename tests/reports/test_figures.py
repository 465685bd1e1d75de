import numpy as np

from places.categories import load_categories
from places.reports.figures import confusion_figure, curves_figure


def test_curves_show_what_is_there() -> None:
    figure = curves_figure({"train/loss": [(9, 2.0), (19, 1.0)], "val/top1": [(19, 0.5)]})
    assert figure is not None
    loss, accuracy = figure.axes
    assert np.array_equal(np.asarray(loss.lines[0].get_xydata()), [[9, 2.0], [19, 1.0]])
    assert [line.get_label() for line in accuracy.lines] == ["val/top1"]
    assert curves_figure({"lr": [(0, 0.1)]}) is None


def test_a_peak_does_not_hide_the_rest_of_a_loss() -> None:
    for peak, scale in [(10.0, "linear"), (2000.0, "log")]:
        figure = curves_figure({"val/loss": [(1, 2.0), (2, peak)], "val/top1": [(1, 0), (2, 1)]})
        assert figure is not None
        assert [axes.get_yscale() for axes in figure.axes] == [scale, "linear"]


def test_confusion_shows_shares_of_the_classes_that_occur() -> None:
    confusion = np.zeros((365, 365), dtype=np.int64)
    confusion[3, 3], confusion[3, 7], confusion[7, 7] = 3, 1, 2
    figure = confusion_figure(confusion, load_categories())
    axes = figure.axes[0]
    assert np.array_equal(np.asarray(axes.images[0].get_array()), [[0.75, 0.25], [0.0, 1.0]])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [load_categories()[3], load_categories()[7]]
    assert axes.get_title() == "6 pictures, top-1 83.33%"


def test_a_full_confusion_matrix_has_no_unreadable_names() -> None:
    figure = confusion_figure(np.eye(365, dtype=np.int64), load_categories())
    assert len(figure.axes[0].get_yticklabels()) < 20
