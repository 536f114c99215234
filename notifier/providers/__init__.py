"""Accounts of providers: which there are, whom they are on for, how well they are, what is paused.

Health is shared through Redis, everything else stands in the database.
"""
