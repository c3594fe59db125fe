from edgeconv.validate.checks.bpe_tables import Tables, compare


def test_merges_of_a_real_vocabularys_size_are_compared_in_one_pass() -> None:
    """Looking each of 200,000 merges up in a list, or in a set made anew for each, would take hours."""
    wanted = [(b"a", str(number).encode()) for number in range(200_000)]
    swapped = [wanted[1], wanted[0], *wanted[2:]]
    assert compare(Tables(wanted, {}), swapped, {}, "The GGUF") == [
        "The GGUF has the merges in another order, from number 0 ('a' + '0') on."
    ]
    (lost,) = compare(Tables(wanted, {}), wanted[:-1], {}, "The GGUF")
    assert lost == "The GGUF has 199,999 merges, the checkpoint 200,000; 1 missing: 'a' + '199999'."
