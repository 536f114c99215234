"""The flow, a room for each stage: `intake` accepts, `planning` decides and stores, `delivery` sends, `upkeep` runs
again and again.

Every stage takes a list; one request is a list of one. A stage reads in a constant number of queries, lets `core`
decide, and writes in one transaction with no network call to a provider inside.
"""
