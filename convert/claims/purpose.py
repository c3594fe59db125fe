"""What a checkpoint is for: the class in `architectures`, and the names of its tensors, tell a generator from what is none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...core.errors import CheckpointError

_GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForImageTextToText", "ForVision2Seq")
_OTHER = {
    "ForSequenceClassification": "gives scores to a text (a classifier, a reranker or a reward model)",
    "RewardModel": "gives scores to a text (a reward model)",
    "ForRewardModel": "gives scores to a text (a reward model)",
    "ForTokenClassification": "gives labels to tokens",
    "ForQuestionAnswering": "finds an answer's place in a text",
    "ForMultipleChoice": "chooses between answers",
    "ForMaskedLM": "fills gaps",
    "ForPreTraining": "fills gaps",
}
"""Ends of the names of classes that make no text, and what they do."""
_SCORES = ("score.weight", "v_head.weight", "classifier.weight", "value_head.weight")
_WRAPPED = "base_model.model."
HEAD = "lm_head.weight"
UNTIED = (
    f"The checkpoint has no {HEAD}, and config.json does not say that the embedding is used in its place "
    '("tie_word_embeddings": true).'
)


def require(config: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Return sentences for the plan.

    Raises:
        CheckpointError: the checkpoint is not a model that makes text, or the adapter of one.
    """
    stated = config.get("architectures")
    classes = [name for name in stated if isinstance(name, str)] if isinstance(stated, list) else []
    generates = any(name.endswith(_GENERATES) for name in classes)
    for name in classes:
        what = next((does for end, does in _OTHER.items() if name.endswith(end)), None)
        if what and not generates:
            raise CheckpointError(
                f"The checkpoint is a {name}, which {what}; converted are models that make text.",
                "Take the model that it was made from, if that is the one you want.",
            )
    scores = next((name for name in _SCORES if name in names), None)
    if scores and HEAD not in names:
        raise CheckpointError(
            f"The checkpoint has {scores} and no {HEAD}: it gives scores to a text (a classifier, a reranker or a reward model), "
            "and converted are models that make text.",
            "Take the model that it was made from, if that is the one you want.",
        )
    refuse_adapter(names)
    base = [name for name in classes if name.endswith("Model") and not name.endswith(_GENERATES)]
    if generates or not base:
        return ()
    return (
        f"config.json names {base[0]}, a model without a head, as those for embeddings are: what is written predicts tokens.",
    )


def no_head(config: dict[str, Any]) -> CheckpointError:
    """Return the error for a checkpoint that has neither a head nor a tie."""
    stated = config.get("architectures")
    named = str(stated[0]) if isinstance(stated, list) and stated else ""
    if named.endswith("Model"):
        return CheckpointError(
            f"{UNTIED[:-1]}: by its architecture, {named}, it is a model without a head, made for embeddings.",
            "Only models that make text are converted.",
        )
    return CheckpointError(
        UNTIED,
        'If the embedding is the head, set "tie_word_embeddings": true in config.json; else a shard is missing, or it is a model '
        "for embeddings.",
    )


def refuse_adapter(names: Collection[str]) -> None:
    """Raise CheckpointError for tensors of a model with an adapter."""
    wrapped = next((name for name in sorted(names) if name.startswith(_WRAPPED) or ".lora_A." in name), None)
    if wrapped:
        raise CheckpointError(
            f"The checkpoint's tensors are those of a model with an adapter (PEFT), for example {wrapped}.",
            "Merge the adapter first (merge_and_unload) and save the result.",
        )
