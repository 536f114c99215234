"""Installations side by side, each with its own people: who lives where, and calls from one to another.

`client` asks, `homes` knows who lives where, `forwards` keeps what is held for a cell that is away, `answering` is the
other side. How a call is carried out is the API's business (`api.cells`).
"""
