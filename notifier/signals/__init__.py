"""What goes through Redis and may be lost: doorbells for workers, events for browsers, signs of life.

Rung after a commit, never before. Losing any of it loses nothing: the sweep rings again, and browsers read again.
"""
