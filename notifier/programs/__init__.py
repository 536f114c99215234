"""The processes and commands that `python -m notifier` starts, a module each; imported only when needed."""
