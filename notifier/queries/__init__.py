"""Read-only questions, a file per screen family. Rows in, plain dicts out; nothing here writes or sends."""
