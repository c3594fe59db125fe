"""A suite for tests that want a verdict soon: a dozen texts, of which intervals can be had; .jsonl."""

import json

TEXTS = (
    "The cat sat on the mat, and the dog lay in the garden.",
    "What is the capital of Italy? Rome.",
    "Two ships left the harbour before dawn.",
    "She counts the days until the summer.",
    "def add(a, b):\n    return a + b",
    "Snow fell on the hills all night.",
    "The train to Oslo leaves at nine.",
    "A baker sells bread, rolls and cakes.",
    "He wrote three letters and sent none.",
    "for i in range(10):\n    print(i)",
    "Water boils at a hundred degrees.",
    "Nobody had seen the old map for years.",
)
WORDS = "".join(json.dumps(text) + "\n" for text in TEXTS)
