"""The shapes of requests and answers, from which the OpenAPI document is generated; a module for each noun.

Requests are validated by these models. Answers are built by pipeline and queries and are only described here; a test
compares the two.
"""
