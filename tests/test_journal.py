"""journal: cut anywhere or damaged anywhere, a run goes on from what is whole in it, or refuses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparisons import pair
from interrupted import check_equal, interrupted
from weightkin import ResultsError, compare

FEW = settings(max_examples=12, deadline=None)


class Case(NamedTuple):
    folders: tuple[Path, Path]
    uninterrupted: Path
    journal: bytes

    def resume_from(self, journal: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "journal").write_bytes(journal)
            compare(*self.folders, output=name, resume=True)
            check_equal(Path(name), self.uninterrupted)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A journal that lacks nothing but the tables."""
    folders = pair(tmp_path_factory.mktemp("models"), layers=4)
    output = tmp_path_factory.mktemp("results")
    compare(*folders, output=output)
    journal = interrupted(folders, tmp_path_factory.mktemp("journal"), "writing", 0)
    return Case(folders, output, journal.read_bytes())


# Half of the places in the first record, which says what was compared.
@FEW
@given(data=st.data())
def test_cut_anywhere(case: Case, data: st.DataObject) -> None:
    case.resume_from(case.journal[: data.draw(st.integers(0, 1500) | st.integers(0, len(case.journal)))])


@FEW
@given(data=st.data(), bit=st.integers(0, 7))
def test_one_bit_flipped_anywhere(case: Case, data: st.DataObject, bit: int) -> None:
    damaged = bytearray(case.journal)
    damaged[data.draw(st.integers(0, 1500) | st.integers(0, len(damaged) - 1))] ^= 1 << bit
    try:
        case.resume_from(bytes(damaged))
    except ResultsError as error:
        assert str(error).endswith("journal: was written by another comparison, or is damaged")


def test_something_else(case: Case, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("Dear diary")
    with pytest.raises(ResultsError, match=f"^{tmp_path}/journal: was written by another comparison, or is damaged$"):
        compare(*case.folders, output=tmp_path, resume=True)
    assert (tmp_path / "journal").read_text() == "Dear diary"
