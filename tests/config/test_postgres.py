"""The embedded Postgres: made once, quick to start again, and never losing a committed row."""

import os
import shutil
import signal
import time

import psycopg
import pytest

from config.local.postgres import (
    CURRENT_USER,
    IN_NAMESPACE,
    NOBODY,
    Cluster,
    WrongMajor,
    choose_account,
    create_database,
    make_var_private,
    postgres,
)
from config.local.processes import find_marked
from config.local.supervisor import ServiceFailed
from tests.config.test_supervisor import tend, wait_until


@pytest.fixture
def cluster(var):
    return Cluster(folder=var / "postgres", sockets=var / "s")


def connect(cluster):
    return psycopg.connect(f"host={cluster.sockets} user=postgres dbname=laurel", autocommit=True)


def start(supervisor, cluster):
    supervisor.start(postgres(cluster))
    create_database(cluster, "laurel")


def postmaster(cluster):
    return int((cluster.data / "postmaster.pid").read_text().split()[0])


def test_rows_outlive_the_kill_of_the_server(supervisor, cluster):
    start(supervisor, cluster)
    with connect(cluster) as connection:
        connection.execute("CREATE TABLE answers AS SELECT 42 AS answer")
    killed = postmaster(cluster)
    os.kill(killed, signal.SIGKILL)

    def answers_again():
        tend(supervisor)
        try:
            with connect(cluster) as connection:
                return connection.execute("SELECT answer FROM answers").fetchone()
        except psycopg.OperationalError:
            return None

    assert wait_until(answers_again) == (42,)
    assert postmaster(cluster) != killed


def test_the_second_start_finds_the_rows_of_the_first_and_is_quick(supervisor, cluster):
    start(supervisor, cluster)
    with connect(cluster) as connection:
        connection.execute("CREATE TABLE answers AS SELECT 42 AS answer")
    supervisor.stop()

    began = time.monotonic()
    start(supervisor, cluster)
    assert time.monotonic() - began < 5
    with connect(cluster) as connection:
        assert connection.execute("SELECT answer FROM answers").fetchone() == (42,)


def test_stopping_ends_open_sessions_and_leaves_nothing_behind(supervisor, cluster, var):
    start(supervisor, cluster)
    with connect(cluster):
        supervisor.stop()
    assert not find_marked(var)
    assert not (cluster.data / "postmaster.pid").exists()


def test_a_server_orphaned_by_its_supervisor_is_stopped_before_the_next_starts(supervisor, cluster):
    start(supervisor, cluster)
    supervisor.children[0].service.prepare()
    assert supervisor.children[0].process.wait(timeout=10) == 0
    assert not (cluster.data / "postmaster.pid").exists()


def test_a_stale_lock_whose_pid_is_by_now_another_program_does_not_stop_the_start(supervisor, cluster):
    start(supervisor, cluster)
    os.kill(postmaster(cluster), signal.SIGKILL)
    supervisor.children[0].process.wait()
    lock = cluster.data / "postmaster.pid"
    stale = lock.read_text().split("\n")
    lock.write_text("\n".join([str(os.getpid()), *stale[1:]]))
    supervisor.children.clear()
    start(supervisor, cluster)


def test_a_start_that_was_killed_half_way_leaves_no_half_of_a_cluster(supervisor, cluster):
    half = cluster.data.with_suffix(".unfinished")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    start(supervisor, cluster)
    assert not half.exists()


def test_rows_that_are_gone_while_it_runs_are_missed_and_not_begun_anew(cluster):
    service = postgres(cluster)
    service.prepare()
    shutil.rmtree(cluster.data)
    with pytest.raises(ServiceFailed, match="is gone: stop Laurel and restore it"):
        service.prepare()
    assert not cluster.data.exists()


@pytest.mark.parametrize(("account", "mode"), [(CURRENT_USER, 0o700), (NOBODY, 0o711)])
def test_others_read_nothing_of_the_folder_and_the_servers_account_finds_its_rows(var, account, mode):
    cluster = Cluster(folder=var / "postgres", sockets=var / "s", account=account)
    var.chmod(0o755)
    (var / "postgres" / "data").mkdir(parents=True)
    make_var_private(var, cluster)
    assert var.stat().st_mode & 0o777 == mode
    assert cluster.home == var / "postgres"


def test_rows_of_another_major_version_are_refused_with_a_way_on(supervisor, cluster):
    start(supervisor, cluster)
    supervisor.stop()
    (cluster.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(WrongMajor, match=r"written by PostgreSQL 17, and 18 is installed"):
        supervisor.start(postgres(cluster))


def test_only_its_owner_can_enter_the_folders_of_rows_and_of_sockets(supervisor, cluster):
    start(supervisor, cluster)
    for folder in (cluster.home, cluster.data, cluster.sockets):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user needs no other account")
class TestAsRoot:
    """Root runs Postgres in a user namespace, or as nobody where containers refuse namespaces."""

    def test_nothing_is_run_as_root(self):
        assert choose_account() in (IN_NAMESPACE, NOBODY)

    def test_nobody_can_run_it_and_rows_move_where_nobody_may_go(self, supervisor, var):
        var.chmod(0o700)
        cluster = Cluster(folder=var / "postgres", sockets=var.with_name(var.name + "-s"), account=NOBODY)
        try:
            start(supervisor, cluster)
            with connect(cluster) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            assert not cluster.home.is_relative_to(var)
            assert cluster.data.stat().st_uid == NOBODY.owner
            assert var.stat().st_mode & 0o777 == 0o700
        finally:
            supervisor.stop()
            for folder in (cluster.home, cluster.sockets):
                shutil.rmtree(folder, ignore_errors=True)


def test_an_ordinary_user_runs_it_as_himself(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_account() == CURRENT_USER
