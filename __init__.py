"""edgeconv: Hugging Face checkpoints to edge formats, with proof that the result is still the same model."""

__version__ = "0.1.0"
