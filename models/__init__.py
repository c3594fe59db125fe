"""Model families that transformers does not have, written as its own are, so that nothing needs remote code."""
