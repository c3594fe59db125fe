import pytest

from edgeconv.hub import fetch as fetching
from edgeconv.hub.client import Retry
from edgeconv.hub.source import parse

from .conftest import NEEDED, Recorder
from .server import Files, HubServer

QUICK = Retry(attempts=3, first_delay=0.01)

def fetch(model, progress, **options):
    return fetching.fetch(parse(model), progress=progress, retry=QUICK, **options)


def test_fetches(hub: HubServer, files: Files, progress: Recorder) -> None:
    repo = hub.add_repo("org/name", files)
    got = fetch("org/name", progress)
    assert {p.relative_to(got.path).as_posix() for p in got.path.rglob("*") if p.is_file()} == NEEDED
    print(progress.text, progress.tasks[0].__dict__)
    for r in hub.requests: print(r.method, r.path)
