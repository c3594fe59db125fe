"""Which operation of which layer departs first: what an artifact computes inside, held against transformers' layers.

`halves` runs a layer of the reference on the artifact's own input, `measure` takes the errors, `judge` says which are faults.
"""
