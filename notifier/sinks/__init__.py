"""Where the event stream goes: files, Kafka, HTTP collectors.

They take the events of `queries.events` as they are shown there, and know nothing else of notifications.
"""
