"""Numbers as people read them: nothing rounds to a value that would mislead."""

from __future__ import annotations

import pytest

from weightkin.cli import text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.count(0), "0"),
        (text.count(999), "999"),
        (text.count(999_600), "1.00M"),
        (text.count(102_646_145_024), "103B"),
        (text.size(1_234_567), "1.23 MB"),
        (text.coefficient(None), "-"),
        (text.coefficient(0.01014), "0.0101"),
        (text.coefficient(-0.00001), "0.0000"),
        (text.coefficient(0.99996), "0.99996"),
        (text.coefficient(0.9999996), "1.0000"),
        (text.coefficient(1.0), "1.0000"),
        (text.magnitude(0), "0"),
        (text.magnitude(1.41421), "1.414"),
        (text.magnitude(0.0123456), "0.01235"),
        (text.magnitude(3.14159e-7), "3.142e-07"),
        (text.magnitude(12345.6), "12346"),
        (text.percent(1), "100%"),
        (text.percent(0.999999), "99.99%"),
        (text.percent(1e-9), "<0.01%"),
        (text.percent(0), "0%"),
        (text.probability(0.00781, False), "0.0078"),
        (text.probability(3.2e-12, True), "~3e-12"),
        (text.probability(0.0, True), "~<1e-99"),
        (text.duration(0.001), "<0.01 s"),
        (text.duration(0.238), "0.24 s"),
        (text.duration(200), "3 min 20 s"),
        (text.duration(7500), "2 h 5 min"),
        (text.plural(1, "layer"), "1 layer"),
        (text.plural(18963, "tensor"), "18,963 tensors"),
        (text.safe("a\x1b[2Jb\n\udcff"), r"a\x1b[2Jb\n\udcff"),
    ],
)
def test_numbers(shown: str, expected: str) -> None:
    assert shown == expected
