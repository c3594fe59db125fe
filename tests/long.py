"""The tests that `make test` leaves to `make test-all`: the same mechanism on another real model, tokenizer or precision.

CI has 25 minutes on two cores. Each line names what a shorter case of the same test, or another test, shows as well; the figures
are CPU seconds of November 2026.
"""

LONG = (
    "tests/convert/test_tokenizer_copy.py::test_real_tokenizers_load_right_everywhere[gemma3]",  # 64; make exact
    "tests/convert/test_tokenizer_copy.py::test_real_tokenizers_load_right_everywhere[gptoss]",  # 28; make exact
    "tests/convert/test_tokenizer_copy.py::test_real_tokenizers_load_right_everywhere[qwen3]",  # 14; llama3_1
    "tests/convert/openvino/test_tokenizer_graph.py::test_real_tokenizers_are_exact[gemma3]",  # 34; make exact
    "tests/convert/openvino/test_tokenizer_graph.py::test_real_tokenizers_are_exact[gptoss]",  # 19; make exact
    "tests/convert/openvino/test_trace_optimum.py::test_bin_of_real_weights_is_optimums[0.6]",  # 43; 0.8
    "tests/convert/openvino/test_trace.py::test_conversion_error_on_real_weights[bf16]",  # 13; int4
    "tests/convert/openvino/test_stream.py::test_real_weights[smollm2_llama",  # 22; smollm2_glm
    "tests/pipeline/test_pipeline.py::test_real_model_generates_the_same_64_tokens_everywhere[smollm2_llama]",  # 27; glm
    "tests/pipeline/test_pipeline.py::test_other_precisions_run[cb4]",  # 12; nf4
    "tests/pipeline/test_pipeline.py::test_other_precisions_run[mxfp4]",  # 9; nf4
    "tests/pipeline/test_pipeline.py::test_other_precisions_run[fp8_e4m3]",  # 7; nf4
    "tests/pipeline/test_pipeline_chatglm.py::test_the_validator_passes_it[chatglm3-6b-32k-openvino]",  # 10; chatglm2
    "tests/builtin/test_vision_quantized.py::test_captions_survive_quantization[int8]",  # 23; int4
    "tests/bad/test_optional_packages.py::test_nothing_is_imported_that_nobody_asked_for[onnx]",  # 24; openvino
    "tests/validate/test_real_tokenizers.py::test_a_sound_artifact_passes[qwen3-onnx]",  # 21; make exact
    "tests/validate/test_real_tokenizers.py::test_a_sound_artifact_passes[qwen3-gguf]",  # 17; make exact
    "tests/validate/test_planted_faults.py::test_an_untouched_artifact_passes[nf4]",  # 20; int4
    "tests/validate/test_planted_faults.py::test_an_untouched_artifact_passes[bf16]",  # 17; int8
    "tests/validate/test_weights.py::test_every_precision_de_quantizes_as_the_graph_does[cb4]",  # 6; test_structure
    "tests/validate/test_formats_agree.py::test_formats_agree[cohere2]",  # 8; cohere
    "tests/validate/test_formats_agree.py::test_formats_agree[granite]",  # 7; others
    "tests/validate/test_bisect.py::test_a_sound_artifact_has_no_culprit[gemma3_text-onnx",  # 20; openvino
    "tests/validate/test_bisect.py::test_a_large_real_model_has_no_culprit_and_a_planted_one_is_named[onnx",  # 20; openvino
    "tests/validate/test_bisect.py::test_a_traced_graph[cohere-onnx",  # 20; the OpenVINO ones, test_inner
    "tests/validate/test_bisect.py::test_a_large_real_model_has_no_culprit_and_a_planted_one_is_named[gguf",  # 20; openvino
)
"""Beginnings of node ids."""
