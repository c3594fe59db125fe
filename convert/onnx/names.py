"""Names of the files of an ONNX artifact, and of its graphs' inputs and outputs."""

TEXT = "model"
MODEL = f"{TEXT}.onnx"
LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS = SEEING = ("decoder_model_merged", "embed_tokens", "vision_encoder")
"""The three models of a vision-language model, as transformers.js names such parts; the one that generates first."""
GENAI = "genai_config.json"
IDS, EMBEDS, LOGITS = "input_ids", "inputs_embeds", "logits"
PIXELS, FEATURES = "pixel_values", "image_features"
