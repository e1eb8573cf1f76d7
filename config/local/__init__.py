"""What `bin/run` starts and keeps running: the embedded Postgres and Valkey, the web server, workers, beat.

Nothing here needs root or changes anything outside LAUREL_VAR and one folder of sockets.
"""
