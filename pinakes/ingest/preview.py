"""The first pictures that a run would embed, on a contact sheet, before anything is paid for."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as Pillow

from pinakes.embedders.base import Picture, with_bytes
from pinakes.images.contact_sheet import Card, contact_sheet, save_sheet
from pinakes.images.decoding import decode, with_header
from pinakes.images.formats import HEAD_BYTES, sniff
from pinakes.ingest.plan import Plan
from pinakes.sources.base import Source
from pinakes.types import Failure, Image

SHOWN = 10
"""As many as BigQuery's tutorial looks at."""

THUMBNAIL = 480
"""Pixels on the short side that a picture is decoded at: enough for a fifth of a sheet."""


def save_preview(path: Path, source: Source, plan: Plan, about: str) -> list[dict[str, str]]:
    """Write a sheet of the first pictures of a plan, in its order; one that would fail is shown with the reason.

    Args:
        path: its ending says what is written (`contact_sheet.FORMATS`).
        source: reads the pictures.
        plan: with at least one call.
        about: what the run would be, in a line.

    Returns:
        For each of them `image_id` and `type`: the content type of its bytes, or why there is no picture.

    Raises:
        PinakesError: the sheet cannot be written.
    """
    images = [work.image for work in plan.work[:SHOWN]]
    cards = [_card(source, image) for image in images]
    whole = len(images) == len(plan.work)
    heading = f"What would be embedded: {'all' if whole else f'the first {len(images)} of'} {len(plan.work):,} pictures"
    save_sheet(contact_sheet(cards, heading=heading, subheading=about, columns=5), path)
    return [
        {"image_id": image.image_id, "type": card.note or card.subtitle}
        for image, card in zip(images, cards, strict=True)
    ]


def _card(source: Source, image: Image) -> Card:
    def shown(data: bytes) -> Card:
        picture = decode(data, at_least=THUMBNAIL)
        width, height = with_header(data).size
        if (width > height) != (picture.width > picture.height):  # it is stored on its side
            width, height = height, width
        bytes_ = f"{len(data) / 1e6:,.1f} MB" if len(data) >= 1e6 else f"{len(data) / 1e3:,.0f} kB"
        size = f"{width:,} × {height:,} pixels, {bytes_}"
        return Card(picture, image.image_id, size, Pillow.MIME[sniff(data[:HEAD_BYTES]) or ""])

    # As an embedder reads it, so that what would fail is shown with the reason that the ledger would have.
    card = with_bytes(Picture(image, lambda: source.read(image)), shown)
    return Card(None, image.image_id, card.message) if isinstance(card, Failure) else card
