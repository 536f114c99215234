"""Templates and data in, a message's texts out: the template language, filters, locales, and the layout of mails.

User-written templates run in a sandbox, on one budget per message, and never inside a transaction.
"""
