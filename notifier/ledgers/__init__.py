"""Records and counts that span notifications: audit trail, caps, limits, scores, digests, tallies.

Each takes a constant number of statements or round trips per batch. Those in the database are written in the
transaction that they are about.
"""
