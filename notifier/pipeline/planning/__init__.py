"""Decides a batch and stores the decisions, inside the caller's transaction (T1).

Called by `intake`, `delivery` and `upkeep`. Doorbells and events must wait for the commit, so they are returned, not
sent.
"""
