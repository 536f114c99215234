"""Sends: claim (T2), ask the providers' health, send with no transaction open, record (T3), follow the routing.

Called by the worker through `jobs`.
"""
