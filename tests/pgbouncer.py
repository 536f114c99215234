"""Debian's PgBouncer in transaction mode, in front of a PostgreSQL of the tests."""

import subprocess
import tempfile
from pathlib import Path

import psycopg2
from sqlalchemy import make_url

from tests.running import eventually, free_port, installed

MOST_SERVERS = 4  # connections to PostgreSQL


class PgBouncer:
    """`url`: of the database at `database_url`, by it."""

    def __init__(self, database_url: str) -> None:
        self.direct = database_url
        direct = make_url(database_url)
        folder = str(direct.query.get("host") or direct.host)
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{direct.database}"
        # It refuses to be root, and then it is who PostgreSQL is
        owner = Path(folder).stat().st_uid if folder.startswith("/") else None
        self._user = owner or None
        self._place = tempfile.TemporaryDirectory(prefix="notifier-pgbouncer-", ignore_cleanup_errors=True)
        Path(self._place.name).chmod(0o755)
        self._config = Path(self._place.name) / "pgbouncer.ini"
        port = f" port={direct.port}" if direct.port else ""
        self._config.write_text(
            f"[databases]\n* = host={folder}{port} user={direct.username or 'postgres'}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\nadmin_users = postgres\npool_mode = transaction\nmax_client_conn = 500\n"
            f"default_pool_size = {MOST_SERVERS}\nignore_startup_parameters = extra_float_digits\n"
        )
        self._config.chmod(0o644)  # for that user, whatever is hidden here otherwise
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [installed("pgbouncer"), "-q", str(self._config)], stderr=subprocess.DEVNULL, user=self._user
        )
        eventually(self._answers)

    def stop(self) -> None:
        """kill -9: whoever had a connection has lost it."""
        self._process.kill()
        self._process.wait()

    def servers(self) -> int:
        """How many connections to PostgreSQL it has."""
        connection = psycopg2.connect(self.url, dbname="pgbouncer")
        connection.autocommit = True  # its console knows no transactions
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW SERVERS")
                return len(cursor.fetchall())
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url).close()
        except psycopg2.OperationalError:
            return False
        return True
