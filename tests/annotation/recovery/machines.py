"""A second machine: another LAUREL_VAR and another database, on the Postgres that the tests run on."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from django.db import connection

ROOT = Path(__file__).resolve().parents[3]


# One process for several commands: setting Django up takes longer than they do.
RESTORE = """
import json, os, sys
import django
django.setup()
from django.core.management import call_command
for environment in json.loads(sys.argv[2]):
    os.environ.update(environment)
    call_command("restore", sys.argv[1], replace=bool(environment), stderr=sys.stdout)
    print(sys.argv[1])
"""


class Machine:
    """Somewhere to restore to."""

    def __init__(self, var, database):
        self.var, self.database = var, database

    def restore(self, folder, *environments):
        """Restore there, once with each set of variables, from the second on over the one before.

        Returns: what each said.
        """
        to = connection.settings_dict
        host = to["HOST"] or to.get("OPTIONS", {}).get("host", "")
        url = (
            f"postgres://{quote(to['USER'])}:{quote(to['PASSWORD'])}@/{self.database}?host={quote(host, '')}"
        )
        environment = {**os.environ, "LAUREL_VAR": str(self.var), "DATABASE_URL": url}
        command = [sys.executable, "-c", RESTORE, str(folder), json.dumps(environments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split(f"{folder}\n")[:-1]

    def ask(self, statement):
        with connect(self.database) as there:
            return there.execute(statement).fetchall()


def connect(database):
    to = {**connection.get_connection_params(), "dbname": database}
    known = ("host", "port", "user", "password", "dbname")
    return psycopg.connect(**{name: to[name] for name in known if name in to}, autocommit=True)


@contextmanager
def another_machine(folder):
    """A machine of an empty database, which is gone afterwards."""
    database = f"laurel_{os.getpid()}_{folder.name}".lower()
    with connect("postgres") as server:
        server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        server.execute(f'CREATE DATABASE "{database}"')
        try:
            yield Machine(folder / "var", database)
        finally:
            server.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
