"""Where transformers' AutoTokenizer makes another tokenizer of a folder than its tokenizer.json describes.

`python -m edgeconv.core.tokenizer_rebuilt FOLDER` prints it as JSON, from a process without torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import limits
from .errors import CheckpointError
from .foreign_code import block_optional_packages
from .hf_tokenizer import CONFIG, open_tokenizer
from .scratch import scratch

TEXTS = (
    "The quick brown fox isn't lazy; it's 12,345.67 km away.", "  two spaces, and   three", " a",
    "def f(x):\n\treturn 1\n\n", "日本語 和 中文, 你好。", "Привет, мир! Γειά σου", "x = 12345 and 2024",
    "e\u0301 ﬁ ① Å", "🙂👍🏽", "a\u00a0b\u3000c", "I'M HE'LL 's",
)  # fmt: skip
_AS_THE_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes that take tokenizer.json as it is."""
_INERT = {
    "trim_offsets",
    "decoder",
    "post_processor",
    "truncation",
    "padding",
    "version",
    "added_tokens",
    "cache_capacity",
}
"""Fields of tokenizer.json that no id depends on, or that classes keep."""


def may_be(folder: Path) -> bool:
    """False if the class in tokenizer_config.json takes the file as it is, or there is no file."""
    path = folder / CONFIG
    if not (folder / "tokenizer.json").is_file():
        return False
    stated = json.loads(limits.read_text(path, limits.JSON, encoding="utf-8-sig")) if path.is_file() else {}
    return stated.get("tokenizer_class") not in _AS_THE_FILE


def is_rebuilt(folder: Path) -> bool:
    """Whether transformers' class puts another pipeline around the vocabulary; found out with a vocabulary of a few tokens."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    description = json.loads(limits.read_text(folder / "tokenizer.json", limits.JSON))
    shell = _small(description)
    with scratch(Path(tempfile.gettempdir()), "edgeconv-rebuilt-") as made:
        (made / "tokenizer.json").write_text(json.dumps(shell), "utf-8")
        for name in (CONFIG, "config.json"):
            if (folder / name).is_file():
                (made / name).write_bytes(limits.read_bytes(folder / name, limits.JSON))
        try:
            rebuilt: Any = AutoTokenizer.from_pretrained(made, local_files_only=True, trust_remote_code=False)
        except Exception:  # noqa: BLE001 - it cannot open the folder at all: what it would make is unknown
            return True
    ours, theirs = Tokenizer.from_str(json.dumps(shell)), rebuilt.backend_tokenizer
    return _pipeline(json.loads(ours.to_str())) != _pipeline(json.loads(theirs.to_str()))


def difference(folder: Path, texts: Sequence[str] = TEXTS) -> str | None:
    """Return a sentence on the first text of which AutoTokenizer makes other ids than the folder's own files; None: equal."""
    from transformers import AutoTokenizer

    own = open_tokenizer(folder)
    try:
        other: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, users of transformers meet it
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"transformers' AutoTokenizer cannot open it: {first.rstrip('.')}"
    for text in texts:
        for special in (False, True):
            wanted, got = (side(text, add_special_tokens=special)["input_ids"] for side in (own, other))
            if wanted != got:
                return f"transformers' AutoTokenizer ({type(other).__name__}) makes {got[:6]} of {text!r}, the files {wanted[:6]}"
    return None


def asked(folder: Path, *, texts: bool = False) -> dict[str, Any]:
    """Ask a process of its own, which keeps torch out: {"rebuilt": bool} or, with `texts`, {"difference": sentence or None}.

    Raises:
        CheckpointError: the process failed.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "edgeconv.core.tokenizer_rebuilt",
        str(folder),
        *(["--texts"] if texts else []),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"]
        raise CheckpointError(f"The tokenizer of {folder.name} cannot be compared with transformers' own: {lines[-1]}.")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _small(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the few tokens that classes ask for, and no merges."""
    model = dict(description["model"])
    added = [entry for entry in description.get("added_tokens") or [] if entry.get("special")][:64]
    if isinstance(model.get("vocab"), dict):
        usual = [text for text in ("<unk>", "<s>", "</s>") if text in model["vocab"]]
        texts = list(dict.fromkeys([*(entry["content"] for entry in added), *usual]))
        unknown = model.get("unk_token")
        texts += [unknown] if unknown and unknown not in texts else []
        model |= {"vocab": {text: at for at, text in enumerate(texts)}}
        added = [entry | {"id": model["vocab"][entry["content"]]} for entry in added]
        if "merges" in model:
            model["merges"] = []
    return description | {"model": model, "added_tokens": added, "post_processor": None}


def _pipeline(description: dict[str, Any]) -> dict[str, Any]:
    model = {key: value for key, value in description["model"].items() if key not in ("vocab", "merges", "unk_token")}
    kept = {key: _plain(description.get(key)) for key in ("normalizer", "pre_tokenizer")}
    return {**kept, "ignore_merges": model.get("ignore_merges"), "byte_fallback": bool(model.get("byte_fallback"))}


def _plain(step: Any) -> Any:
    """Return a step without what changes no id; a sequence of one, or of none, is what is in it."""
    if not isinstance(step, dict):
        return step
    inner = step.get("normalizers", step.get("pretokenizers"))
    if isinstance(inner, list):
        plain = [_plain(entry) for entry in inner]
        return (plain[0] if plain else None) if len(plain) < 2 else plain
    return {key: value for key, value in step.items() if key not in _INERT}


if __name__ == "__main__":
    block_optional_packages()
    sys.modules["torch"] = None  # type: ignore[assignment]
    place = Path(sys.argv[1])
    print(json.dumps({"difference": difference(place)} if "--texts" in sys.argv else {"rebuilt": is_rebuilt(place)}))
