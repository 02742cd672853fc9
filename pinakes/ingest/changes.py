"""What a listing and its metadata change in the images that are stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinakes.checkpoints.textindex import digest_of, places, texts
from pinakes.errors import AccountError
from pinakes.ingest.run import Ingestion
from pinakes.metadata.join import Join
from pinakes.store.image_changes import Said


def as_stored_where_unread(listed: pa.Table, stored: pa.Table) -> pa.Table:
    """The listed entries; one whose bytes could not be read keeps the fingerprint that is stored, and so its vectors.

    A server that does not answer for a while, or a folder that cannot be read, takes no picture out of the searches. What
    has vanished for good is removed by `--prune`.
    """
    unread = pc.equal(listed["fingerprint"], "").combine_chunks()
    if not pc.any(unread).as_py():
        return listed
    at = places(listed["image_id"].filter(unread), stored["image_id"])
    kept = stored["fingerprint"].take(pa.array(at, mask=at < 0)).fill_null("")
    column = listed.schema.get_field_index("fingerprint")
    fingerprints = pc.replace_with_mask(listed["fingerprint"].combine_chunks(), unread, kept.combine_chunks())
    return listed.set_column(column, listed.schema.field(column), fingerprints)


def compared(listed: pa.Table, stored: pa.Table) -> tuple[npt.NDArray[np.bool_], pa.Table]:
    """Which listed entries are not stored, or are with another URI or fingerprint: a mask, shape (n,); what is not listed.

    Raises:
        AccountError: an image is listed twice.
    """
    at = places(listed["image_id"], stored["image_id"])
    is_stored = at >= 0
    unlisted = np.ones(stored.num_rows, dtype=np.bool_)
    unlisted[at[is_stored]] = False
    added = listed["image_id"].filter(pa.array(~is_stored))
    different = stored.num_rows - int(unlisted.sum()) + pc.count_distinct(added).as_py()
    if different != listed.num_rows:
        raise AccountError(
            f"the listing has {listed.num_rows:,} images but {different:,} different image_ids; each must be listed once."
        )
    old = stored.take(pa.array(at[is_stored]))
    new = listed.filter(pa.array(is_stored))
    differs = ~is_stored
    for name in ("uri", "fingerprint"):
        differs[is_stored] |= pc.not_equal(new[name], old[name]).to_numpy()
    return differs, stored.filter(pa.array(unlisted))


def said_otherwise(
    run: Ingestion, join: Join, now: Said, before: Said | None, listed: pa.Table, stored: pa.Table
) -> npt.NDArray[np.bool_]:
    """Which listed entries may have other metadata than is stored: a mask, shape (n,)."""
    # Joining and comparing every row takes far longer than comparing two digests, which is all an unchanged run needs.
    if before is None or before.metadata != now.metadata:
        return np.ones(listed.num_rows, dtype=np.bool_)
    if before.listing == now.listing:
        return np.zeros(listed.num_rows, dtype=np.bool_)
    if before.listing != digest_of(stored["image_id"]):  # the listing of then is not known any more
        return np.ones(listed.num_rows, dtype=np.bool_)
    # A picture that has come or gone may change which row of the metadata another one gets.
    had, has = Join(run.metadata, stored["image_id"].to_pylist(), match=run.request.match).keys(), join.keys()
    return np.fromiter((had.get(i) != has.get(i) for i in texts(listed["image_id"])), np.bool_, listed.num_rows)
