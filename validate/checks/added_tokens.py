"""What a tokenizer says of its added tokens (special, normalized, stripped, whole words), in each form that holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ...convert.gguf.tokenizer_bpe import kind_of
from ...convert.gguf.vocabulary import TokenType
from ...core.tokenizer_files import Added
from .reference_tokenizer import AddedToken, ReferenceTokenizer


def differences(wanted: Mapping[int, AddedToken], got: Mapping[int, AddedToken], where: str, rows: int) -> list[str]:
    """Compare two lists of added tokens; a sentence for each kind of difference.

    Args:
        wanted: the checkpoint's, by id.
        got: the artifact's.
        where: what holds them.
        rows: of the model's embedding; a token beyond them may be left out.
    """
    found: dict[str, list[int]] = {}
    for number, token in wanted.items():
        if number not in got and number >= rows:
            continue
        mine, other = asdict(token), asdict(got[number]) if number in got else {}
        for name, value in mine.items():
            if not other or other[name] != value:
                found.setdefault(name if other else "", []).append(number)
    for number in got.keys() - wanted.keys():
        found.setdefault("extra", []).append(number)
    return [_sentence(name, numbers, wanted, got, where) for name, numbers in found.items()]


def _sentence(
    name: str, numbers: Sequence[int], wanted: Mapping[int, AddedToken], got: Mapping[int, AddedToken], where: str
) -> str:
    first = numbers[0]
    head = f"{len(numbers)} added tokens differ" if len(numbers) > 1 else "An added token differs"
    if not name:
        return f"{head}: {where} lacks {first} {wanted[first].content!r}."
    if name == "extra":
        return f"{head}: {where} has {first} {got[first].content!r}, which the checkpoint's tokenizer has not."
    mine, other = (getattr(side[first], name) for side in (wanted, got))
    return f"{head}: '{name}' of {first} {wanted[first].content!r} is {other!r} in {where}, {mine!r} in the checkpoint."


def looks_special(token: AddedToken) -> bool:
    """True if GGUFs call an added token a marker by its looks, whatever tokenizer.json says of it."""
    return not token.special and _kind(token) is TokenType.CONTROL


def types_differ(reference: ReferenceTokenizer, types: Sequence[int]) -> list[str]:
    """Compare a GGUF's token types with the checkpoint's added tokens; the other attributes have no place in a GGUF."""
    unknown = reference.model.get("unk_token")
    wrong: list[tuple[int, str, str, str]] = []
    for number, token in reference.added.items():
        given = types[number] if number < len(types) else None
        allowed = {_kind(token), TokenType.USER_DEFINED if not token.special else _kind(token)}
        allowed |= {TokenType.UNKNOWN} if token.content == unknown else set()
        if given is not None and given not in allowed:
            wrong.append((number, token.content, _named(given), " or ".join(sorted(_named(kind) for kind in allowed))))
    control = int(TokenType.CONTROL)
    markers = {number for number, kind in enumerate(types) if kind == control} - reference.added.keys()
    for number in markers & set(reference.vocabulary.values()):  # what only fills the table up is not in it
        wrong.append((number, reference.name(number), _named(control), _named(TokenType.NORMAL)))
    if not wrong:
        return []
    number, text, given_name, wanted = min(wrong)
    return [f"{len(wrong)} tokens are of another type: {number} {text!r} is {given_name}, by the checkpoint {wanted}."]


def _kind(token: AddedToken) -> TokenType:
    return kind_of(Added(token.number, token.content, token.special))


def _named(kind: int) -> str:
    return TokenType(kind).name.lower().replace("_", " ") if kind in set(TokenType) else f"of type {kind}"
