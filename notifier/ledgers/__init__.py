"""What is counted or written across notifications: audit trail, caps, floods, scores, digests, tallies.

Each is written in the transaction of what it records, a constant number of statements a batch.
"""
