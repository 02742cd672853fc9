"""The collection as a map: where each picture lies, and the small pictures that are drawn there."""
