"""Names of the files of an ONNX artefact."""

TEXT = "model"
MODEL = f"{TEXT}.onnx"
DATA = f"{MODEL}_data"
"""As optimum names it."""
GENAI = "genai_config.json"
