"""`edgeconv search`: the smallest artifact within a budget of divergence, by a choice of bits for every weight."""
