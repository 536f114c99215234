"""Functions for the worker's tests: what a stock RQ worker would run."""

from rq import get_current_job


def echo(word: str) -> None:
    job = get_current_job()
    assert job is not None
    job.connection.rpush("echoed", job.id)


def double(word: str) -> str:
    return word * 2


def broken(word: str) -> None:
    raise RuntimeError("broken")
