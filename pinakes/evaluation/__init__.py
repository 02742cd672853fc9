"""Evaluation: how much of the exact answer an index finds, and how well the spaces of a collection retrieve."""
