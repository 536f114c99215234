"""The items of a person's inbox and the marks on them, with counts that change in the same transaction.

Reading is in `queries/inbox.py`; telling browsers is `signals/publish.py`.
"""
