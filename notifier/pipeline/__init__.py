"""The flow, a file a stage: accept, facts, expand, render, deliver, receipts, sweep, inbox.

Every stage takes a list; one request is a list of one. A stage reads what it needs in a constant
number of queries, lets `core` decide, and writes in one transaction, with no network call inside.
`render` has its parts beside it: the template language and its formats, where published templates
are kept, and the mail's layout. The doors and the processes call these; nothing here calls them.
"""
