"""Names of the files of an ONNX artifact, and of its graphs' inputs and outputs."""

TEXT = "model"
MODEL = f"{TEXT}.onnx"
LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS = SEEING = ("decoder_model_merged", "embed_tokens", "vision_encoder")
"""The three models of one that sees, by the names that transformers.js has for such parts; the one that generates first."""
GENAI = "genai_config.json"
IDS, EMBEDS, LOGITS = "input_ids", "inputs_embeds", "logits"
PIXELS, FEATURES = "pixel_values", "image_features"
