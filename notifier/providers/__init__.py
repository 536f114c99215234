"""Provider accounts: which exist, for whom they are on, whether they are healthy, and which channels are paused.

Health is shared through Redis; everything else is in the database.
"""
