"""As whom the embedded Postgres runs. It refuses root, so root steps down; no account is made for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NOBODY_UID = 65534  # in passwd on every system we know; initdb looks its name up

_STEP_DOWN = (
    "import os, sys; os.setgroups([]); os.setgid({0}); os.setuid({0}); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Account:
    """prefix: the words before a command. owner: whose its files must be, None when they stay ours."""

    prefix: tuple[str, ...] = ()
    owner: int | None = None

    def can_reach(self, path: Path) -> bool:
        """Whether every folder above the path lets the account through."""
        return self.owner is None or all(parent.stat().st_mode & 0o001 for parent in path.parents)


OURSELVES = Account()
# Root is called nobody inside, yet its files stay root's outside: no chown, no folder to open up.
IN_NAMESPACE = Account(
    prefix=("unshare", "--user", f"--map-user={NOBODY_UID}", f"--map-group={NOBODY_UID}"),
)
NOBODY = Account(prefix=(sys.executable, "-c", _STEP_DOWN.format(NOBODY_UID)), owner=NOBODY_UID)


def choose_account() -> Account:
    """The first that works here: ourselves unless root, a user namespace, the real nobody."""
    if os.geteuid() != 0:
        return OURSELVES
    if shutil.which("unshare"):
        probe = subprocess.run([*IN_NAMESPACE.prefix, "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return IN_NAMESPACE
    return NOBODY  # containers often refuse namespaces
