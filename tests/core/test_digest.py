import hashlib
from pathlib import Path

import pytest

from edgeconv.core.digest import sha256_file


class Counter:
    def __init__(self) -> None:
        self.seen = 0

    def advance(self, amount: int) -> None:
        self.seen += amount

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("size", [0, 1, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, 3 << 22])
def test_equals_hashlib_around_the_block_size(tmp_path: Path, size: int) -> None:
    content = bytes(i * 31 % 251 for i in range(997)) * (size // 997 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    task = Counter()
    assert sha256_file(path, task) == hashlib.sha256(content[:size]).hexdigest()
    assert task.seen == size
