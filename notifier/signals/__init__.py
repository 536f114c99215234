"""Signals through Redis, which may be lost: doorbells for workers, events for browsers, signs of life.

Sent after a commit, never before. A lost signal loses no data: the scheduler rings again, and browsers read again.
"""
