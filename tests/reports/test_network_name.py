import pytest

from places.reports.network_name import network_name


@pytest.mark.parametrize(
    ("path", "arguments", "name"),
    [
        ("places.models.ResNet", {"depth": 50, "groups": 1, "resnet_d": False}, "ResNet-50"),
        ("places.models.ResNet", {"depth": 50, "groups": 32, "width_per_group": 4}, None),
        ("places.models.VGG", {"depth": 16, "batch_norm": True, "dropout": 0.5}, None),
        ("places.models.RepVGG", {"variant": "A0", "checkpoint_gradients": True}, "RepVGG-A0"),
        ("torchvision.models.convnext_tiny", None, "convnext_tiny"),
        ("Tiny", {"x": "\x1b[31m"}, r"Tiny (x=\x1b[31m)"),
        ("Tiny", ["odd"], "Tiny"),
        (None, {}, ""),
        ({"class": 1}, {}, ""),
    ],
)
def test_a_network_has_the_name_that_people_write(
    path: object, arguments: object, name: str | None
) -> None:
    expected = {"ResNet": "ResNet-50 (groups=32, width_per_group=4)", "VGG": "VGG-16 (batch_norm)"}
    assert network_name(path, arguments) == (name if name is not None else expected[str(path)[14:]])
