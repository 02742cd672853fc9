"""The sample gallery: pictures that the project paints by itself, so that a demo needs no download."""

from pinakes.sample.gallery import Gallery, write_gallery

__all__ = ["Gallery", "write_gallery"]
