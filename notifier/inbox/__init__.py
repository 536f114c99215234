"""The items of a person's inbox, the marks on them, and the counts, which change in the same transaction.

`queries.inbox` reads them; `signals.publish` tells browsers.
"""
