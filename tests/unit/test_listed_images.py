"""A listing in columns: what it says of its images, and what it costs to keep."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pinakes.checkpoints.ledger import Ledger
from pinakes.ingest.images import Images
from pinakes.ingest.plan import make_plan
from pinakes.types import Image, Rejected, Skipped

TEXT = st.text(max_size=8)
LISTED = st.lists(st.builds(Image, TEXT, TEXT, TEXT, st.integers(0, 2**62), TEXT), max_size=12)


@given(LISTED, st.slices(12))
def test_it_is_a_sequence_of_the_images(listed: list[Image], part: slice) -> None:
    images = Images.of(listed)
    assert (len(images), list(images)) == (len(listed), listed)
    assert [images[at] for at in range(len(listed))] == listed
    assert list(images[part]) == listed[part]


def many(count: int) -> Iterator[Image | Skipped | Rejected]:
    for number in range(count):
        name = f"{number // 1000:03}/{number:07}.jpg"
        yield Image(name, f"file:///srv/pictures/collection/{name}", f"md5:{number:032x}", 1000 + number)


def test_a_plan_keeps_columns_and_not_an_object_for_each_image() -> None:
    make_plan(many(10), Ledger.of({}))  # what is imported and kept once; Python keeps 160 kB of freed tuples as well
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        plan = make_plan(many(20_000), Ledger.of({}))
        objects, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert plan.calls == 20_000
    assert objects / 20_000 < 50, "bytes of Python for an image; 500 as an object with a call for each"
    assert most / 20_000 < 500
    assert (pa.total_allocated_bytes() - before) / 20_000 < 200
