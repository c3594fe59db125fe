"""The texts that a validation measures on: documents for teacher forcing, prompts for generation."""

from .encode import EncodedDocument, encode, require
from .files import load
from .model import Document, Message, Picture, Suite
from .overlap import require_apart

__all__ = ["Document", "EncodedDocument", "Message", "Picture", "Suite", "encode", "load", "require", "require_apart"]
