"""Names of the files of an ONNX artefact."""

TEXT = "model"
MODEL = f"{TEXT}.onnx"
GENAI = "genai_config.json"
