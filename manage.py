#!/usr/bin/env python
"""The one front door: server, migrations, imports, training, tuning, export."""

import os
import sys

if __name__ == "__main__":
    try:
        "".join(sys.argv).encode()
    except UnicodeEncodeError:  # no name or text here could be equal to them, nor be stored
        sys.exit("manage.py: the arguments are not in UTF-8")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)  # as shells count it, without the place that it was at
