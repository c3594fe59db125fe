from pathlib import Path
from typing import Any

import pytest

from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.runtimes.openvino_genai import Chat, LLMGeneration, Sampling

GREEDY = Sampling(max_new_tokens=64, temperature=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_new_tokens", 0),
        ("temperature", -0.1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", 0),
        ("repetition_penalty", 0.0),
        ("seed", -1),
    ],
)
def test_values_outside_their_range_name_the_option(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{field.replace('_', '-')} must"):
        Sampling(**{field: value})  # type: ignore[arg-type]


def applied(**values: Any) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    Sampling(**values).apply(config)
    return config


def test_temperature_zero_is_greedy_whatever_else_is_said() -> None:
    assert applied(temperature=0, top_p=0.5).do_sample is False


@pytest.mark.parametrize("said", [{"temperature": 0.7}, {"top_p": 0.5}, {"top_k": 5}])
def test_a_sampling_option_turns_sampling_on(said: dict[str, float]) -> None:
    config = applied(**said)
    assert config.do_sample is True
    assert {name: pytest.approx(getattr(config, name)) for name in said} == said


def test_what_is_left_open_stays_as_the_artifact_has_it() -> None:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.do_sample, config.temperature, config.top_p, config.repetition_penalty = True, 0.6, 0.9, 1.1
    Sampling().apply(config)
    assert (config.do_sample, config.max_new_tokens) == (True, 512)
    assert (config.temperature, config.top_p, config.repetition_penalty) == pytest.approx((0.6, 0.9, 1.1))


def test_without_a_seed_every_conversation_has_its_own() -> None:
    assert applied(seed=7).rng_seed == 7
    assert len({applied().rng_seed for _ in range(8)}) > 1


def test_a_failure_in_the_runtime_is_an_error_and_the_question_is_forgotten() -> None:
    import openvino_genai

    class Broken:
        def generate(self, *_: object) -> None:
            raise RuntimeError("Exception from src/x.cpp:1:\nThe cache is full.\n")

    history = openvino_genai.ChatHistory()
    history.append({"role": "user", "content": "hello"})
    with LLMGeneration(Broken(), history, None) as generation, pytest.raises(ArtifactError, match="The cache is full"):
        assert list(generation) == []
        generation.answer()
    assert history.get_messages() == []


def test_a_folder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (tmp_path / name).touch()
    with pytest.raises(ArtifactError, match=r"openvino_tokenizer\.xml, .*openvino_detokenizer\.bin missing"):
        Chat(tmp_path)
