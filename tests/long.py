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
    "tests/convert/conversion/test_openvino.py::test_real_model_generates_the_same_64_tokens_everywhere[smollm2_llama",  # 27; glm
    "tests/convert/conversion/test_openvino.py::test_other_precisions_run[cb4]",  # 12; nf4
    "tests/convert/conversion/test_openvino.py::test_other_precisions_run[mxfp4]",  # 9; nf4
    "tests/convert/conversion/test_openvino.py::test_other_precisions_run[fp8_e4m3]",  # 7; nf4
    "tests/convert/conversion/test_chatglm.py::test_the_validator_passes_it[chatglm3-6b-32k-openvino]",  # 10; chatglm2
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
    # experts stored one by one, in every scheme, and the other forms in int8 and with both of int4's; 3 each
    *(
        f"tests/convert/openvino/test_stream_experts.py::test_constants_are_nncfs[{scheme}-{family}]"
        for scheme in ("int8_sym", "int4_asym", "int4_sym", "int4_rows")
        for family in ("mixtral", "granitemoe", "gpt_oss")
    ),
    # one real tokenizer a kind of vocabulary stays: llama3_1 (byte pairs), llama2 (SentencePiece)
    "tests/convert/test_tokenizer_copy.py::test_real_tokenizers_load_right_everywhere[deepseek_v3]",  # 13
    "tests/convert/test_tokenizer_copy.py::test_real_tokenizers_load_right_everywhere[mistral_v1]",  # 7
    "tests/convert/openvino/test_tokenizer_graph.py::test_real_tokenizers_are_exact[deepseek_v3]",  # 9
    "tests/convert/openvino/test_tokenizer_graph.py::test_real_tokenizers_are_exact[qwen3]",  # 9
    "tests/validate/test_real_tokenizers.py::test_a_sound_artifact_passes[mistral_v1",  # 12
    "tests/validate/test_real_tokenizers.py::test_a_sound_artifact_passes[qwen3-openvino]",  # 25
    # of each planted fault one format stays
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[added token moved-llama2-openvino]",  # 5; gguf, onnx
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[merges swapped-llama2-gguf]",  # 5; openvino
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[normalizer removed-llama2-openvino]",  # 5; gguf
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[prefix removed-llama2-openvino]",  # 5; gguf
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[stop token wrong-llama2-gguf]",  # 4; openvino
    "tests/validate/test_real_tokenizers.py::test_a_planted_fault_is_caught[vocabulary swapped-llama2-gguf]",  # 4; onnx
    "tests/validate/test_planted_pipelines.py::test_a_fault_of_the_pipeline_alone[history_in_onnx]",  # 4; openvino, llama_cpp
    "tests/validate/test_planted_pipelines.py::test_a_fault_of_the_pipeline_alone[sampler_in_openvino]",  # 5; onnx, llama_cpp
    "tests/validate/test_planted_pipelines.py::test_a_fault_of_the_pipeline_alone[penalty_in_llama_cpp]",  # 4; onnx, openvino
    "tests/validate/test_planted_faults.py::test_fault_of_the_source[slightly_wrong_eps]",  # 17; eps, slightly_wrong_theta
    "tests/validate/test_planted_faults.py::test_an_untouched_artifact_passes[int8]",  # 18; int4
    # projectors of llama.cpp: what another type of the same graph, or another half of the same fault, shows as well; 4 each
    "tests/validate/test_planted_projectors.py::test_an_untouched_projector_passes[idefics3]",  # smolvlm
    "tests/validate/test_planted_projectors.py::test_an_untouched_projector_passes[qwen3_5]",  # qwen3_vl
    "tests/validate/test_planted_projectors.py::test_a_fault_is_found_twice[keys in halves]",  # queries in halves
    "tests/validate/test_planted_projectors.py::test_a_fault_is_found_twice[another deviation]",  # another mean
    "tests/validate/test_planted_projectors.py::test_a_fault_is_found_twice[queries and keys exchanged]",  # queries in halves
    "tests/runtimes/test_llama_cpp_pictures.py::test_logits_are_transformers[idefics3]",  # smolvlm
    "tests/validate/test_planted_vision.py::test_weights_of_the_tower[no_begin]",  # 11; no_end
    "tests/validate/test_planted_vision.py::test_other_mean_or_deviation[image_std",  # 7; image_mean
    "tests/validate/test_gguf_ladder.py::test_an_untouched_file_passes[q8_0]",  # 6; f32, q4_k_m
    "tests/validate/test_reference_ladder.py::test_biases_in_eight_bits_are_matched[starcoder2]",  # 7; stablelm
    "tests/validate/test_formats_agree.py::test_formats_agree[stablelm]",  # 10; starcoder2, test_streamed_logits
    "tests/validate/test_formats_agree.py::test_formats_agree[smollm3]",  # 8; the same
    "tests/validate/test_formats_agree.py::test_formats_agree[glm4]",  # 9; the same
    # a precision that NNCF alone makes is matched in one of the two tests, and its kind (a table, floats, integers) in both
    "tests/validate/test_structure.py::test_nncfs_precisions_pass[fp4]",  # 5
    "tests/validate/test_structure.py::test_nncfs_precisions_pass[int2_sym]",  # 4
    "tests/validate/test_structure.py::test_nncfs_precisions_pass[mxfp4]",  # 5
    "tests/validate/test_structure.py::test_nncfs_precisions_pass[mxfp8_e4m3]",  # 5
    "tests/validate/test_structure.py::test_nncfs_precisions_pass[nf4]",  # 5
    "tests/validate/test_weights.py::test_every_precision_de_quantizes_as_the_graph_does[fp8_e4m3]",  # 4
    "tests/validate/test_weights.py::test_every_precision_de_quantizes_as_the_graph_does[int3_sym]",  # 5
    "tests/validate/test_weights.py::test_every_precision_de_quantizes_as_the_graph_does[nvfp4]",  # 5
    "tests/convert/openvino/test_trace.py::test_our_bytes_are_those_of_nncf[gemma3_text-int4_sym",  # 6; int4_asym
    "tests/convert/openvino/test_trace.py::test_our_bytes_are_those_of_nncf[gemma3_text-int8",  # 6; int4_asym, glm
    "tests/convert/openvino/test_trace_optimum.py::test_bin_of_real_weights_is_optimums[0.8]",  # 48; test_bin_is_optimums
    "tests/convert/openvino/test_trace_optimum.py::test_bin_is_optimums[phi3, float16-int8]",  # 7; llama, float32
    "tests/convert/openvino/test_trace_optimum.py::test_bin_is_optimums[qwen2, tied-int8]",  # 7; its int4
    "tests/convert/openvino/test_stream.py::test_real_weights[smollm2_glm-bf16",  # 12; int4
    "tests/convert/conversion/test_openvino.py::test_other_precisions_run[int3_sym]",  # 7; nf4
    "tests/convert/conversion/test_chatglm.py::test_the_validator_passes_it[glm-4-9b-chat-openvino]",  # 10; its gguf
    "tests/convert/conversion/test_chatglm.py::test_the_validator_passes_it[chatglm3-6b-32k-gguf]",  # 4; chatglm2
    "tests/convert/onnx/test_export.py::test_a_real_model_in_full_precision[smollm2_llama]",  # 5; glm
    "tests/core/test_foreign_files.py::test_killed_at_every_change_of_the_disk[out-False]",  # 7; x.gguf-False
    "tests/core/test_foreign_files.py::test_killed_at_every_change_of_the_disk[x.gguf-True]",  # 7; out-True
    "tests/cli/test_leftovers.py::test_nothing_stays_in_tmpdir[frontier]",  # 14; search
    # each of these ten lives takes 20 in the process that they share; `make kill` stops each everywhere
    "tests/kill/test_kill.py::test_killed_at_each_stage_boundary[frontier]",  # 20; search
    "tests/kill/test_kill.py::test_killed_at_each_stage_boundary[onnx]",  # 20; openvino
    "tests/builtin/test_train.py::test_a_short_run_writes_a_checkpoint_and_learns",  # 13; test_train_vision
    "tests/convert/onnx/test_trace.py::test_the_graph_computes_what_torch_does[bloom]",  # 5; gpt2, gemma2
    "tests/convert/onnx/test_trace.py::test_the_graph_computes_what_torch_does[gpt_neox]",  # 6; gpt2, gemma2
    "tests/validate/test_formats_agree.py::test_formats_agree[cohere]",  # 9; starcoder2
    "tests/validate/test_reference_ladder.py::test_exact_artifacts_pass_in_openvino[starcoder2]",  # 8; stablelm
    "tests/validate/test_llama_perplexity.py::test_agrees",  # 90; make perplexity
    "tests/recipes/test_end_to_end.py::test_a_recipe_becomes_published_repositories_that_run",  # 70; test_workflow, test_run
    "tests/validate/test_bisect.py::test_a_large_real_model_has_no_culprit_and_a_planted_one_is_named[openvino",  # 38; tiny ones
    "tests/validate/test_planted_faults.py::test_fault_of_the_source[eps]",  # 20; test_quick's other epsilon
    "tests/cli/test_leftovers.py::test_nothing_stays_in_tmpdir[search]",  # 16; sensitivity
    "tests/runtimes/test_llama_cpp_chat.py::test_a_real_model_says_what_its_onnx_says",  # 13; the tiny ones
    "tests/convert/openvino/test_trace_optimum.py::test_bin_is_optimums[phi3, float16-int4",  # 10; llama
    "tests/validate/test_planted_vision.py::test_weights_of_the_tower[no_end]",  # 10; swapped_layers
    "tests/validate/test_planted_vision.py::test_a_picture_in_the_middle",  # 9; begin and end exchanged
    "tests/validate/test_planted_states.py::test_a_fault_is_caught[growing_state-openvino]",  # 9; onnx
    # of each fault of a scan one graph stays, and one file
    *(
        f"tests/validate/test_planted_scans.py::test_a_fault_is_caught[{one}"
        for one in (
            "shifted_state-onnx",
            "growing_state-openvino",
            "no_bias_of_steps-openvino",
            "no_skip-onnx",
            "vectors_exchanged-openvino",
            "norm_in_front_of_the_gate-onnx",
            "shifted_state-gguf",
            "growing_state-gguf",
            "no_skip-gguf",
            "vectors_exchanged-gguf",
        )
    ),  # 10 each
    "tests/study/test_bench.py::test_a_gguf_beside_its_checkpoint",  # 8; an IR beside its checkpoint
    "tests/study/test_search.py::test_onnx_weight_by_weight",  # 8; an IR weight by weight
    "tests/validate/test_gguf_ladder.py::test_an_untouched_file_passes[f32]",  # 8; q4_k_m
    # of a fault before or behind the graphs one graph stays, and of one in them one a mechanism
    *(
        f"tests/validate/test_planted_pictures.py::{test}[{kind}-onnx"
        for test in ("test_another_preparation_of_pictures", "test_one_image_token_short", "test_rows_in_another_order")
        for kind in ("qwen2_5_vl", "qwen3_vl", "smolvlm")
    ),  # 2 each
    *(
        f"tests/validate/test_planted_towers.py::test_it_is_caught[{one}"
        for one in (
            "windows_everywhere-qwen2_5_vl-vision-onnx",
            "rows_and_columns_exchanged-glm4v",
            "sections_exchanged-qwen3_5-logits-openvino",
            "padding_kept-llava_next-vision-onnx",
        )
    ),  # 3 each
)
"""Beginnings of node ids."""
