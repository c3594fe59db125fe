"""Which parts of a model compression hurts: the KL from the reference with one part compressed at a time.

codec     a weight as an artifact would hold it
parts     the layers, components or tensors of a model
path      the reference's activations before every layer, from which one part costs the layers behind it only
exact     KL of each part, run in full
estimate  KL of every tensor and precision at once, to second order, from a few backward passes
"""
