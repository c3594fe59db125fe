"""The ids that configs name are those of the tokens that they mean, and no token lies beyond the embedding."""

from __future__ import annotations

from typing import Any

from ...convert.openvino.tokenizer import require_files
from ...core import tokenizer_files, tokenizer_rebuilt
from ...core.errors import CheckpointError
from .glm_edge import ENDS, MARKERS, VOCABULARY, is_glm_edge
from .row import Row, judged, some
from .subject import Refused, Subject
from .tokenizer import FILE, Tokenizer

_STALE = "Tokenizer and configs are of different models or revisions; download all files again."
_EOS, _OTHERS = "eos_token_id", ("bos_token_id", "pad_token_id")
_GENERATION = "generation_config.json"


def rows(subject: Subject) -> list[Row]:
    """Look into the tokenizer's files."""
    tokenizer = subject.tokenizer
    if isinstance(tokenizer, Refused):
        return [_absent(subject, tokenizer)]
    found = [Row("tokens", "tokenizer", f"a {FILE} that opens", f"{len(tokenizer.ids):,} tokens"), *_rebuilt(subject)]
    if subject.vocab_size is not None:
        found.append(_rows(subject, tokenizer, subject.vocab_size))
    if is_glm_edge(subject.config):
        found += [_markers(subject, tokenizer), *_ends_of_glm_edge(subject, tokenizer)]
    else:
        found += _ends(subject, tokenizer)
    return found + _others(subject, tokenizer)


def _rebuilt(subject: Subject) -> list[Row]:
    """What is converted is what tokenizer.json describes; whoever loads the checkpoint with transformers may have another."""
    folder = subject.checkpoint.folder
    if not tokenizer_rebuilt.may_be(folder):
        return []
    expected = f"what {FILE} describes is what transformers runs"
    difference = tokenizer_rebuilt.asked(folder, texts=True)["difference"]
    if difference is None:
        return [Row("tokens", "pipeline", expected, "equal ids")]
    note = f"transformers rebuilds it otherwise; {FILE} is what is converted and measured"
    return [Row("tokens", "pipeline", expected, difference, "assumed", note)]


def _rows(subject: Subject, tokenizer: Tokenizer, size: int) -> Row:
    highest, expected = max(tokenizer.ids.values(), default=-1), f"ids below vocab_size {size}"
    try:
        left_out = tokenizer_files.read(subject.checkpoint.folder).left_out
    except CheckpointError as error:
        return Row("tokens", "vocabulary", expected, error.message, "wrong", _STALE)
    if left_out:
        shown = some([f"{token.id} {token.content}" for token in left_out])
        note = "such tokens are left out of every format: the model has no row for them"
        return Row("tokens", "vocabulary", expected, f"added tokens beyond: {shown}", "assumed", note)
    return judged("tokens", "vocabulary", expected, f"up to {highest}", right=highest < size, note=_STALE)


def _absent(subject: Subject, why: Refused) -> Row:
    """Other files of a tokenizer are left to transformers, which makes one of them when the model is converted."""
    folder, expected = subject.checkpoint.folder, f"a {FILE} that opens"
    if not (folder / FILE).is_file():
        try:
            require_files(folder)
        except CheckpointError:
            found = "there are no tokenizer files"
            return Row("tokens", "tokenizer", expected, found, "wrong", "Add the checkpoint's.")
        if tokenizer_files.read(folder).pieces:
            return Row("tokens", "tokenizer", expected, "none; made of tokenizer.model as sentencepiece encodes")
        note = "transformers makes the tokenizer of the other files, and the conversion says if it cannot"
        return Row("tokens", "tokenizer", expected, why.message, "assumed", note)
    return Row("tokens", "tokenizer", expected, why.message, "wrong", why.hint)


def _markers(subject: Subject, tokenizer: Tokenizer) -> Row:
    """In GLM-Edge's own vocabulary the ids are known too."""
    published = subject.vocab_size == VOCABULARY
    wanted = MARKERS if published else {text: tokenizer.ids.get(text) for text in MARKERS}
    encoded = {text: tokenizer.encode(text) for text in MARKERS}
    right = all(encoded[text] == [tokenizer.ids.get(text)] == [number] for text, number in wanted.items())
    expected = "one token each: " + ", ".join(
        f"{number} {text}" if published else text for text, number in wanted.items()
    )
    said = ", ".join(f"{'+'.join(map(str, ids))} {text}" for text, ids in encoded.items())
    return judged("tokens", "role tokens", expected, said, right=right, note=_STALE)


def _ends_of_glm_edge(subject: Subject, tokenizer: Tokenizer) -> list[Row]:
    """What ends an answer is published, so both files are held to it."""
    wanted = [tokenizer.ids[text] for text in ENDS if text in tokenizer.ids]
    expected = f"among them {tokenizer.named(wanted)}"
    stated = _stated(subject)
    if not stated:
        return [Row("tokens", _EOS, expected, "no file states one", "wrong", _STALE)]
    rows = []
    for file, value in stated.items():
        found, said = _ids(value), _say(value, tokenizer)
        right = found is not None and set(wanted) <= set(found) and all(map(tokenizer.text, found))
        rows.append(judged("tokens", f"{_EOS} in {file}", expected, said, right=right, note=_STALE))
    return rows


def _ends(subject: Subject, tokenizer: Tokenizer) -> list[Row]:
    """generation_config.json comes first, as in transformers; what the tokenizer calls its end must be an end."""
    text = tokenizer.roles.get("eos_token")
    own = tokenizer.ids.get(text) if text is not None else None
    expected = "special tokens" + (f", {own} {text} among them" if own is not None else "")
    stated = _stated(subject)
    if subject.encoder:
        return []
    if not stated:
        found = "no file states one"
        if own is None:
            return [Row("tokens", _EOS, expected, found, "wrong", "No token ends an answer.")]
        return [Row("tokens", _EOS, expected, found, "assumed", "runtimes take the tokenizer's eos_token")]
    first, rows = next(iter(stated)), []
    for file, value in stated.items():
        ids, said = _ids(value), _say(value, tokenizer)
        special = ids is not None and all(tokenizer.text(number) in tokenizer.special for number in ids)
        if file == first:
            right = special and (own is None or own in (ids or ()))
            rows.append(judged("tokens", f"{_EOS} in {file}", expected, said, right=right, note=_STALE))
        elif special and not set(ids or ()) <= set(_ids(stated[first]) or ()):
            note = f"{first} states others, and is what runtimes read"
            rows.append(Row("tokens", f"{_EOS} in {file}", f"as in {first}", said, "assumed", note))
        else:
            rows.append(judged("tokens", f"{_EOS} in {file}", "special tokens", said, right=special, note=_STALE))
    return rows


def _stated(subject: Subject) -> dict[str, Any]:
    """File → what it states, the one that counts first."""
    tables = {_GENERATION: subject.generation_config, "config.json": subject.config}
    values = {file: table.get(_EOS) for file, table in tables.items()}
    return {file: value for file, value in values.items() if value is not None and value != []}


def _others(subject: Subject, tokenizer: Tokenizer) -> list[Row]:
    """-1 is an old way to say "none"."""
    rows = []
    for file, table in {"config.json": subject.config, _GENERATION: subject.generation_config}.items():
        stated = {key: table.get(key) for key in _OTHERS if table.get(key) not in (None, -1)}
        if stated:
            said = ", ".join(f"{key} {_say(value, tokenizer)}" for key, value in stated.items())
            right = all(all(map(tokenizer.text, _ids(value) or [-1])) for value in stated.values())
            rows.append(judged("tokens", f"other ids in {file}", "ids of tokens", said, right=right, note=_STALE))
    return rows


def _ids(value: Any) -> list[int] | None:
    """Return the ids of a key that holds one or several; None if it holds anything else."""
    numbers = value if isinstance(value, list) else [value]
    return numbers if all(type(number) is int for number in numbers) else None


def _say(value: Any, tokenizer: Tokenizer) -> str:
    numbers = _ids(value)
    return tokenizer.named(numbers) if numbers is not None else f"{value!r}, which is not an id"
