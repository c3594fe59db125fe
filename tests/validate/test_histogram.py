from edgeconv.core.manifest import TensorEntry
from edgeconv.validate.histogram import Share, of_manifest


def entry(precision: str, group: int | None, shape: list[int], size: int) -> TensorEntry:
    return TensorEntry(name="w", shape=shape, precision=precision, group_size=group, bytes=size)


def test_groups_of_one_precision_are_apart_and_the_largest_share_is_first() -> None:
    entries = [
        entry("int4_sym", 128, [2, 128], 132),
        entry("int4_sym", 64, [2, 64], 68),
        entry("bf16", None, [8], 16),
        entry("int4_sym", 128, [4, 256], 528),
    ]
    assert of_manifest(entries) == [
        Share("int4_sym", 128, 2, 256 + 1024, 660),
        Share("int4_sym", 64, 1, 128, 68),
        Share("bf16", None, 1, 8, 16),
    ]


def test_a_scalar_is_one_parameter_and_nothing_is_nothing() -> None:
    assert of_manifest([entry("f32", None, [], 4)]) == [Share("f32", None, 1, 1, 4)]
    assert of_manifest([]) == []
