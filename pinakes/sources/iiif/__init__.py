"""Pictures that museums publish by IIIF: manifests and collections, and the pictures that an image server gives."""
