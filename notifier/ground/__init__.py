"""What everything stands on: settings, clock, ids, encryption, database, logs, tokens, shapes.

Used by every room above `core`. Knows nothing of notifications.
"""
