"""What families are described with: the parts of a decoder, how config.json states them, and what each part computes.

A family's file (`convert/families`) puts these together; each format draws the program `block`
with operations of its own (`ops.Ops`).
"""
