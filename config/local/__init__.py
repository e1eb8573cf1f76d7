"""`bin/run` on one machine: the embedded Postgres and Valkey, web server, workers, scorer and beat.

A supervisor starts them, restarts those that die, and stops them. Nothing here needs root, or changes
anything outside LAUREL_VAR and one folder of sockets.
"""
