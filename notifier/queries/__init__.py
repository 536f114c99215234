"""Read-only queries, a file for each family of pages. Rows in, plain dicts out; nothing here writes or sends."""
