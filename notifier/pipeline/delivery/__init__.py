"""Sending: claim (T2), check the providers' health, send with no transaction open, record (T3), follow the routing.

Called by the worker through `jobs`.
"""
