"""Who may come in: accounts and sessions of people, keys of producers, roles, sign-in by link, invitations, codes.

Called by the doors and the programs. Knows nothing of HTTP.
"""
