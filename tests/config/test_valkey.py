"""The embedded Valkey: a message that was queued is there after a kill."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.local.processes import find_marked
from config.local.valkey import valkey
from tests.config.test_supervisor import tend, wait_until


def test_queued_messages_outlive_the_kill_of_the_server(supervisor, var):
    supervisor.start(valkey(var / "valkey", var / "s"))
    broker = redis.Redis(unix_socket_path=str(var / "s" / "valkey.sock"), retry=Retry(NoBackoff(), 0))
    broker.rpush("default", "wake up")
    (server,) = find_marked(var, "valkey")
    server.kill()

    def messages():
        tend(supervisor)
        try:
            return broker.lrange("default", 0, -1)
        except redis.ConnectionError:
            return []

    assert wait_until(messages) == [b"wake up"]


def test_it_listens_on_its_socket_alone(supervisor, var):
    supervisor.start(valkey(var / "valkey", var / "s"))
    (server,) = find_marked(var, "valkey")
    assert not server.net_connections(kind="inet")
    assert (var / "s").stat().st_mode & 0o077 == 0
