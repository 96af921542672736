"""Batches: what they promise, what they cost the others, and how they fail."""
