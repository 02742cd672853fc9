"""The size of a picture by its header is that of the decoded picture."""

from __future__ import annotations

import pytest

from pinakes.images.decoding import decode
from pinakes.images.sizes import upright_size
from tests import pictures as make


@pytest.mark.parametrize("name", make.VARIANTS)
def test_the_header_gives_the_size_of_every_kind(name: str) -> None:
    data = make.VARIANTS[name]()
    assert upright_size(data) == decode(data).size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_turned_picture_has_its_upright_size(orientation: int, kind: str) -> None:
    assert upright_size(make.rotated(orientation, kind)) == (64, 32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_nothing_behind_the_header_is_needed(kind: str) -> None:
    data = make.photo(size=(3000, 2000), kind=kind)
    assert upright_size(data[:1000]) == (3000, 2000)
