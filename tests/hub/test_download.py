from edgeconv.hub.download import _meter

from .conftest import RecordedTask


def test_a_repeated_transfer_is_counted_once() -> None:
    task = RecordedTask("Downloading", 100)
    meter = _meter(task, 100)
    for pieces in (
        (30, 30),
        (30, 20),
        (40, 40),
    ):  # two transfers break off, the third one is whole but for its last bytes
        meter.restart()
        with meter(total=100) as bar:
            for piece in pieces:
                bar.update(piece)
    assert task.steps == [30, 30, 20]
    meter.complete()
    assert sum(task.steps) == 100


def test_a_transfer_that_begins_anew_by_itself() -> None:
    """huggingface_hub takes back what it had told when a server ignores its Range."""
    task = RecordedTask("Downloading", 100)
    meter = _meter(task, 100)
    with meter(total=100, initial=10) as bar:
        bar.update(30)
        bar.update(-40)
        bar.update(60)
    assert task.steps == [10, 30, 20]
