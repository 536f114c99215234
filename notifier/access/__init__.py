"""Who may come in: people's accounts and sessions, producers' keys, roles, sign-in by link, invitations, address codes.

Called by the doors and the programs. Knows nothing of HTTP requests, cookies or pages.
"""
