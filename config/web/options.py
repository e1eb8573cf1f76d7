"""gunicorn's options, for `--config python:config.web.options`. What the command line says goes before."""

worker_class = "config.web.worker.WaitressWorker"
workers = 2
# Of the threads of each worker SCORES_AT_ONCE may wait for scores: four remain for pages.
threads = 40
worker_connections = 4000  # of each worker; those that wait for their client need no thread
graceful_timeout = 8
control_socket_disable = True
logger_class = "config.web.log.Log"
accesslog = "-"
