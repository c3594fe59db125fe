"""Residual sums are found by the form of a graph."""

from __future__ import annotations

from typing import Any

import pytest

from edgeconv.core.errors import ArtifactError
from edgeconv.runtimes.inner import Kind, Node, Places, find


class Graph:
    """Nodes by what they read; each method returns the number of its node."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, kind: Kind, *inputs: int) -> int:
        self.nodes.append(Node(kind, inputs))
        return len(self.nodes) - 1

    def norm(self, states: int) -> int:
        """LayerNorm, whose parts are sums and products of its input with itself."""
        mean = self.add("other", states)
        centered = self.add("other", states, mean)
        return self.add("sum", self.add("other", centered, self.add("other", centered)), self.weight())

    def weight(self) -> int:
        return self.add("other")

    def branch(self, states: int) -> int:
        product = self.add("product", states, self.weight())
        return self.add("sum", product, self.weight())  # a bias

    def attention(self, states: int) -> int:
        parts = [self.branch(states) for _ in range(3)]
        return self.branch(self.add("product", self.add("product", *parts[:2]), parts[2]))

    def mlp(self, states: int) -> int:
        return self.branch(self.add("other", self.branch(states), self.branch(states)))


def decoder(layers: int, *, aside: bool = False, after: bool = False) -> tuple[Graph, int, Places]:
    """Return a graph, the number of its tokens, and what must be found in it; `after`: norms stand behind the branches."""
    g = Graph()
    tokens = g.add("other")
    shape = g.add("shape", tokens)
    values, scales = g.add("other", tokens, g.weight()), g.add("other", tokens, g.weight())
    embeddings = states = g.add("other", values, scales)
    mask = g.add("other", shape)
    sums = []
    for _ in range(layers):
        if aside:
            normed = g.norm(states)
            states = g.add("sum", g.add("sum", states, g.attention(normed)), g.mlp(normed))
            sums.append(states)
            continue
        for branch in (g.attention, g.mlp):
            made = g.norm(branch(states)) if after else branch(g.norm(states))
            states = g.add("sum", states, g.add("other", made, mask))
            sums.append(states)
    normed = g.norm(states)
    g.add("other", g.add("product", normed, g.weight()))
    return g, tokens, Places(embeddings, tuple(sums), normed)


@pytest.mark.parametrize("form", [{}, {"after": True}, {"aside": True}])
def test_sums_are_found(form: dict[str, Any]) -> None:
    g, tokens, places = decoder(3, **form)
    assert find(g.nodes, tokens, len(g.nodes) - 1, 3) == places


def test_what_is_not_found_is_refused() -> None:
    g, tokens, _ = decoder(3)
    with pytest.raises(ArtifactError, match="6 sums that every token passes; 4 layers have 8"):
        find(g.nodes, tokens, len(g.nodes) - 1, 4)
    g.nodes[-2] = Node("other", g.nodes[-2].inputs)
    with pytest.raises(ArtifactError, match="no head"):
        find(g.nodes, tokens, len(g.nodes) - 1, 3)


def test_a_graph_without_layers_is_refused() -> None:
    g = Graph()
    tokens = g.add("other")
    logits = g.add("product", tokens, g.weight())
    with pytest.raises(ArtifactError, match="0 sums"):
        find(g.nodes, tokens, logits, 1)
