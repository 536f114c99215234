"""Templates and data in, a message's words out: language, filters, locales, layout of mails.

What is written here by people runs in a sandbox, on one budget a message, and never inside a transaction.
"""
