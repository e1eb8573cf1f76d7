"""The web server: gunicorn, with a worker that gives a thread to complete requests only.

`gunicorn --config python:config.web.options config.wsgi` starts it, in `bin/run` and anywhere else.
"""
