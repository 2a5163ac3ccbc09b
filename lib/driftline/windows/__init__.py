"""Tiles → windows: one pass over the tiles of each entity gives every window of every as-of.

Plain NumPy on Arrow batches whose rows are sorted by entity and day. A window that ends at an
as-of is then a run of rows, and what adds up is the difference of two running sums, so that a
further as-of or window costs a look-up an entity, not a pass over its events.
"""
