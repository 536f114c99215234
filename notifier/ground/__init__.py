"""What every other room stands on: settings, clock, ids, encryption, database, logs, tokens, shapes.

Imports only `core`. Knows nothing of notifications.
"""
