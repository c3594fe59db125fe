"""The small files of a ChatGLM in transformers' form: config, generation config, tokenizer, chat template, model card, license.

They are made once and kept in the cache, in a folder named by a digest of all that they are made of, so that whatever reads a
checkpoint's folder (transformers, openvino_tokenizers, the GGUF writer, the validator) reads them as it reads any other's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ...core.digest import sha256_file
from .. import native_files

READ = (
    "config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",
)  # fmt: skip
COPIED = ("README.md", "LICENSE*", "LICENCE*", "MODEL_LICENSE*", "NOTICE*", "USE_POLICY*")


def obtain(folder: Path, salt: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of small files, from the cache or freshly made.

    Args:
        folder: of the checkpoint.
        salt: what decides on the content beside its files.
        make: writes the files into an empty folder.
    """
    copied = sorted(path for pattern in COPIED for path in folder.glob(pattern) if path.is_file())
    paths = [folder / name for name in READ if (folder / name).is_file()] + copied

    def make_all(place: Path) -> None:
        make(place)
        for path in copied:
            shutil.copyfile(path, place / path.name)

    return native_files.obtain([salt, {path.name: sha256_file(path) for path in paths}], make_all)
