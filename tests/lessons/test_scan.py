"""By rows and by columns, a network learns sooner than pixel by pixel."""

from mnist_lstm.lessons import scan


def test_rows_and_columns_are_above_pixels_and_permuted_in_every_seed() -> None:
    options = scan.Options(side=7, updates=100, hidden_size=24, learning_rate=0.01, dataset="digits", seeds=3)
    result = scan.run(options)
    accuracy = result.numbers["accuracy"]
    for rows, columns, pixels, permuted in zip(*(accuracy[order] for order in scan.ORDERS), strict=True):
        assert min(rows, columns) > max(pixels, permuted) + 0.1
    assert result.lines[-1].endswith("3 of 3 seeds")
    assert "{1:.1%} ({0:.1%} to {2:.1%})".format(*sorted(accuracy["rows"])) in result.lines[4]


def test_seeds_differ_and_repeat() -> None:
    tiny = {"side": 7, "updates": 2, "hidden_size": 4, "dataset": "digits"}
    one, two, again = (scan.run(scan.Options(seeds=seeds, **tiny)).numbers["curves"] for seeds in (1, 2, 2))
    assert two == again
    assert {order: tries[:1] for order, tries in two.items()} == one
    assert any(first != second for first, second in two.values())
