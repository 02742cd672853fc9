"""The sample gallery: pictures that the project paints by itself, so that a demo needs no download."""

from gallery.gallery import PICTURES, SEED, Gallery, painted_before, write_gallery

__all__ = ["PICTURES", "SEED", "Gallery", "painted_before", "write_gallery"]
