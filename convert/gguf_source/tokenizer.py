"""A GGUF's vocabulary as a tokenizer of the `tokenizers` library, with llama.cpp's ids.

gpt2: byte-level BPE. What llama.cpp knows by the name of a pre-tokenizer is written out (`convert.gguf.pretokenizer` names it).
llama: sentencepiece's BPE, whose merges follow from the scores, with bytes as a last resort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import CheckpointError
from ..gguf import pretokenizer as known
from ..gguf.tokenizer_models import BYTE_LEVEL_BPE, SENTENCEPIECE_BPE
from ..gguf.vocabulary import TokenType
from .vocabulary import Source

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "\u2581"


@dataclass(frozen=True)
class _Pre:
    """What a name of llama.cpp's stands for.

    Attributes:
        splitting: the expressions by which text is cut, in order.
        whole: a piece that is a token is not taken apart (`ignore_merges`).
        bos: a begin token goes in front if the file does not say whether.
        nfc: transformers' tokenizer of the models of that name composes characters first; llama.cpp's does not.
    """

    splitting: tuple[str, ...]
    whole: bool = False
    bos: bool = False
    nfc: bool = False


_LLAMA3 = _Pre((known.LLAMA3,), whole=True, bos=True)
_GPT2 = _Pre((known.GPT2,))
_QWEN2 = _Pre((known.QWEN2,))
_DIGITS = _Pre((known.DIGITS, known.GPT2))
_CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_DEEPSEEK = _Pre(
    (
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
_DEEPSEEK_CODER = _Pre((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥\u0800-一가-\ud7ff]+", r"\p{N}"))
_SEED_CODER = _Pre(
    (rf"{_CONTRACTED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",)
)
_BY_NAME = {
    "llama-bpe": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama3": _LLAMA3,
    "falcon3": _LLAMA3,
    "glm4": _Pre((known.LLAMA3,), whole=True),
    "chatglm-bpe": _Pre((known.LLAMA3,)),
    "dbrx": _Pre((known.LLAMA3,)),
    "smaug-bpe": _Pre((known.LLAMA3,)),
    "qwen2": _Pre((known.QWEN2,), nfc=True),
    "deepseek-r1-qwen": _QWEN2,
    "qwen35": _Pre((known.QWEN35,), nfc=True),
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "command-r": _DIGITS,
    "codeshell": _DIGITS,
    "exaone": _DIGITS,
    "minerva-7b": _DIGITS,
    "mpt": _GPT2,
    "olmo": _GPT2,
    "exaone4": _GPT2,
    "trillion": _GPT2,
    "gigachat": _GPT2,
    "a.x-4.0": _GPT2,
    "mellum": _GPT2,
    "stablelm2": _QWEN2,
    "megrez": _QWEN2,
    "hunyuan": _QWEN2,
    "grok-2": _QWEN2,
    "deepseek-v3": _DEEPSEEK,
    "hunyuan-dense": _DEEPSEEK,
    "deepseek-coder": _DEEPSEEK_CODER,
    "seed-coder": _SEED_CODER,
    "gpt-4o": _Pre((known.GPT4O,)),
    "llama4": _Pre((known.GPT4O,)),
    "tekken": _Pre((known.TEKKEN,), whole=True, bos=True),
}
"""Names whose meaning was read in `llama_vocab::impl::load` and `llm_tokenizer_bpe` of llama.cpp's `src/llama-vocab.cpp`."""


def make(source: Source) -> Tokenizer:
    """Make the tokenizer.

    Raises:
        CheckpointError: a pre-tokenizer that is not known, or merges that do not belong to the tokens.
    """
    try:
        tokenizer = _byte_level(source) if source.model == BYTE_LEVEL_BPE else _sentencepiece(source)
    except CheckpointError:
        raise
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(
            f"The GGUF's vocabulary is not a tokenizer: {error}.", "Convert the original checkpoint."
        ) from error
    _add_markers(tokenizer, source)
    _put_around(tokenizer, source)
    return tokenizer


def _byte_level(source: Source) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pre = _pre(source)
    merges = [_pair(merge) for merge in source.merges]
    tokenizer = Tokenizer(models.BPE(_vocabulary(source), merges, fuse_unk=False, ignore_merges=pre.whole))
    if pre.nfc:
        tokenizer.normalizer = normalizers.NFC()
    steps = [_step(expression) for expression in pre.splitting]
    if pre.splitting[-1] != known.GPT2:
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _step(expression: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if expression == known.DIGITS:
        return pre_tokenizers.Digits(individual_digits=True)
    if expression == known.GPT2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Split(Regex(expression), behavior="isolated")


def _pre(source: Source) -> _Pre:
    if source.pre not in _BY_NAME:
        raise CheckpointError(
            f"The GGUF names the pre-tokenizer {source.pre!r}, which cannot be read." if source.pre
            else "The GGUF does not name its pre-tokenizer (tokenizer.ggml.pre), as files of before May 2024 do not.",
            f"These can: {', '.join(sorted(_BY_NAME))}. Convert the original checkpoint.",
        )  # fmt: skip
    return _BY_NAME[source.pre]


def _sentencepiece(source: Source) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers.convert_slow_tokenizer import generate_merges

    vocabulary = _vocabulary(source)
    others = [text for text, kind in zip(source.tokens, source.types, strict=True) if kind != TokenType.NORMAL]
    merges = generate_merges(vocabulary, dict(zip(source.tokens, source.scores, strict=True)), others)
    unknown = _unknown(source)
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=TokenType.BYTE in source.types)
    )
    prefix = source.flags.get("add_space_prefix", True)
    replace = normalizers.Replace(" ", _SPACE)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), replace]) if prefix else replace
    decoding: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*decoding, *([decoders.Strip(" ", 1, 0)] if prefix else [])])
    return tokenizer


def _vocabulary(source: Source) -> dict[str, int]:
    """Return text → id, without the ids that only fill the embedding up."""
    found = {
        text: number
        for number, (text, kind) in enumerate(zip(source.tokens, source.types, strict=True))
        if kind != TokenType.UNUSED
    }
    if len(found) != sum(kind != TokenType.UNUSED for kind in source.types):
        raise CheckpointError("The GGUF's vocabulary has a token twice.", "Convert the original checkpoint.")
    return found


def _unknown(source: Source) -> str | None:
    number = source.special.get("unk")
    if number is None:
        number = next((n for n, kind in enumerate(source.types) if kind == TokenType.UNKNOWN), None)
    return None if number is None else source.tokens[number]


def _add_markers(tokenizer: Tokenizer, source: Source) -> None:
    """Declare the tokens that are cut out of a text before all else, in the order of their ids."""
    from tokenizers import AddedToken

    special = (TokenType.CONTROL, TokenType.UNKNOWN)
    markers = [
        AddedToken(text, special=kind in special, normalized=False, rstrip=kind in special and source.swallows(number))
        for number, (text, kind) in enumerate(zip(source.tokens, source.types, strict=True))
        if kind in (*special, TokenType.USER_DEFINED)
    ]
    tokenizer.add_tokens(markers)


def _put_around(tokenizer: Tokenizer, source: Source) -> None:
    from tokenizers import processors

    default = source.model == SENTENCEPIECE_BPE or _pre(source).bos
    bos = source.special.get("bos") if source.flags.get("add_bos_token", default) else None
    eos = source.special.get("eos") if source.flags.get("add_eos_token", False) else None
    around = [(source.tokens[number], number) for number in (bos, eos) if number is not None]
    front = [source.tokens[bos]] if bos is not None else []
    back = [source.tokens[eos]] if eos is not None else []
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*front, "$A", *back],
            pair=[*front, "$A", *back, *(f"{t}:1" for t in front), "$B:1", *(f"{t}:1" for t in back)],
            special_tokens=around,
        )
