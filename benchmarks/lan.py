"""Hosts on a bridge within this machine: each a network namespace, from which nothing else is reached."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from contextlib import suppress

NETWORK = "10.201.77"
CLONE_NEWNET = 0x40000000


class Lan:
    """Host 0 holds the bridge. A host that is unplugged sends no word more, not even that connections end.

    Without root or the right to make namespaces all hosts share this machine's network: see `shared`.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.numbers = {name: number for number, name in enumerate(hosts)}
        self._hub = hosts[0]
        self.shared = ""  # what the machine answered, where it makes no namespaces
        try:
            self._run("netns", "add", self._namespace(self._hub))
            self._in_hub("link", "add", "lan", "type", "bridge")
            self._in_hub("link", "set", "lo", "up")
            self._in_hub("addr", "add", f"{NETWORK}.1/24", "dev", "lan")
            self._in_hub("link", "set", "lan", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.shared = str(getattr(error, "stderr", "") or error).strip()
            self.close()

    def address(self, host: str) -> str:
        return "127.0.0.1" if self.shared else f"{NETWORK}.{self.numbers[host] + 1}"

    def plug_in(self, host: str) -> None:
        """Give a new host its namespace and its cable."""
        if self.shared:
            return
        namespace, number = self._namespace(host), self.numbers[host]
        # Always the same hardware address: others remember it.
        ours = ("name", "eth0", "netns", namespace, "address", f"02:00:00:00:00:{number:02x}")
        self._run("netns", "add", namespace)
        self._in_hub("link", "add", f"to-{host}", "type", "veth", "peer", *ours)
        self._in_hub("link", "set", f"to-{host}", "master", "lan", "up")
        for command in (
            ("addr", "add", f"{self.address(host)}/24", "dev", "eth0"),
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
        ):
            self._run("-n", namespace, *command)

    def unplug(self, host: str) -> None:
        if not self.shared:
            self._in_hub("link", "del", f"to-{host}")

    def remove(self, host: str) -> None:
        """Remove a host of which no process lives."""
        if not self.shared:
            self._run("netns", "del", self._namespace(host))

    def on(self, host: str) -> tuple[str, ...]:
        """Return what to put before a command of this host."""
        return () if self.shared else ("ip", "netns", "exec", self._namespace(host))

    def enter(self, host: str) -> None:
        """Let this thread, and those that it starts, be on the host."""
        if self.shared:
            return
        with open(f"/run/netns/{self._namespace(host)}") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter the network of host {host}")

    def listening(self, host: str) -> list[int]:
        """Return the ports of the host that others reach."""
        listed = subprocess.run(
            [*self.on(host), "ss", "-Hltn"], capture_output=True, text=True, check=True
        ).stdout
        local = [line.split()[3].rpartition(":") for line in listed.splitlines()]
        return sorted({int(port) for address, _, port in local if not address.startswith("127.")})

    def close(self) -> None:
        for host in self.numbers:
            with suppress(OSError, subprocess.CalledProcessError):
                self._run("netns", "del", self._namespace(host))

    @staticmethod
    def _namespace(host: str) -> str:
        return f"laurel-{os.getpid()}-{host}"

    def _in_hub(self, *command: str) -> None:
        self._run("-n", self._namespace(self._hub), *command)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(["ip", *command], capture_output=True, text=True, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
