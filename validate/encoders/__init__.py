"""The parity of encoders: states, vectors, ranks and scores instead of logits of a next token."""
