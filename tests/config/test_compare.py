from places.config.compare import compare


def test_comparison_knows_types() -> None:
    assert compare({"a": 1}, {"a": 1.0}) == {}
    assert compare({"a": 1}, {"a": True}) == {"a": (1, True)}
    assert compare({"a": [1, 2]}, {"a": [1, 2.0]}) == {}
    assert list(compare({"a": None}, {})) == ["a"]
    assert list(compare({}, {"x": {"init_args": {"b": 1}, "class_path": "c"}})) == [
        "x.class_path",
        "x.init_args.b",
    ]
