"""The flow, a room for each stage: `intake` → `planning` → `delivery`, and `upkeep` again and again.

Every stage takes a list; one request is a list of one. A stage reads what it needs in a constant number of queries,
lets `core` decide, and writes in one transaction with no network call inside.
"""
