"""The form in which metadata is stored, which an unchanged table is taken to have been stored in before."""

from __future__ import annotations

import pandas as pd
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4
from psycopg.types.range import Range

from pinakes.metadata.table import FORM
from pinakes.store import staging


def test_whoever_changes_the_form_raises_its_number() -> None:
    frame = pd.DataFrame(
        {
            "image_id": ["a/b.jpg"],
            "uri": ["file:///a/b.jpg"],
            "fingerprint": ["md5:x"],
            "title": ["Étude"],
            "date": ["1661"],
            "extra": [{"shelf": "A 1"}],
            "several": [{"shelf": ["A", "1"]}],
            "dated": [(1661, 1662)],
        }
    )
    (row,) = staging._image_rows(frame)
    named = dict(zip(staging.IMAGE_COLUMNS, (v.obj if isinstance(v, Jsonb) else v for v in row), strict=True))
    known = {name: value for name, value in named.items() if value is not None}
    # Where this has to be changed, `FORM` has to be raised, or the next run with metadata leaves all rows as they are.
    assert (FORM, known) == (
        1,
        {
            "image_id": "a/b.jpg",
            "uri": "file:///a/b.jpg",
            "fingerprint": "md5:x",
            "title": "Étude",
            "date": "1661",
            "extra": {"shelf": "A 1"},
            "folded": "a b jpg etude 1661 a 1",
            "foldings": {"b6c701366770a3c7f350534727cdbd8f": "etude"},
            "several": {"shelf": ["A", "1"]},
            "dated": Range(Int4(1661), Int4(1662), "[]"),
        },
    )
