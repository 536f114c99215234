"""Where the event stream goes: files, Kafka, HTTP collectors.

They take the events of `queries.events` as `queries.shown_events` shows them, and know nothing else of notifications.
"""
