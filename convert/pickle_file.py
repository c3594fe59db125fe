"""One open shard of torch.save (`pytorch_model*.bin`): looked through, never unpickled; its values are mapped where they lie."""

from __future__ import annotations

from pathlib import Path

from ..core import torch_zip
from ..core.errors import CheckpointError
from .mapped_file import MappedFile, TensorInfo, stand_in


class PickleFile(MappedFile):
    """A shard in the zip form of torch.save, whose tensors are contiguous and may share storages."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            CheckpointError: it is damaged, or holds anything but tensors; nothing of it was run.
        """
        other = stand_in(path)
        if other:
            raise CheckpointError(f"{path.name} is not a file of torch.save.", other)
        with path.open("rb") as file:
            found = torch_zip.read(file, path.name)
        infos = (TensorInfo(t.name, t.dtype, t.shape, t.start, t.start + t.size) for t in found)
        super().__init__(path, {info.name: info for info in infos})
