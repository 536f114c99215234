"""Decides a batch and stores what was decided, inside the caller's transaction (T1).

Called by `intake` and `upkeep`. What must follow the commit is returned, not done.
"""
