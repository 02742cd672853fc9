"""Texts of one column are found in another, whatever their order and however either is cut into chunks."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pinakes.checkpoints.textindex import pair_keys, places

TEXTS = st.lists(st.text("ab\u00e9", max_size=3), unique=True)


def column(texts: list[str], *, cut: int | None) -> pa.Array | pa.ChunkedArray:
    whole = pa.array(texts, pa.large_string())
    return whole if cut is None else pa.chunked_array([whole[:cut], whole[cut:]])


@given(TEXTS, TEXTS, st.booleans(), st.none() | st.integers(0, 4), st.none() | st.integers(0, 4))
def test_each_text_is_found_where_it_stands(
    wanted: list[str], among: list[str], same: bool, cut: int | None, other_cut: int | None
) -> None:
    among = list(wanted) if same else among
    found = places(column(wanted, cut=cut), column(among, cut=other_cut))
    assert found.tolist() == [among.index(text) if text in among else -1 for text in wanted]


def test_the_parts_of_a_pair_are_told_apart() -> None:
    ids, prints = column(["a", "ab"], cut=None), column(["bc", "c"], cut=None)
    assert len(set(pair_keys(ids, prints).to_pylist())) == 2
