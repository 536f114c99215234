"""Message buses that events come in by: one file for each, all a `source.Source`. They know nothing of what a message
says, and nothing of the database.
"""
