"""What the scheduler does again and again: rings what is due, finds what was lost or has lapsed, closes digests.

Bounded batches, rows held by others passed over; any number of schedulers may run.
"""
