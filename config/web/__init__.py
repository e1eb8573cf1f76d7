"""The web server: gunicorn's processes, in each of which waitress reads requests and sends responses.

`gunicorn --config python:config.web.options config.wsgi` starts it, in `bin/run` and anywhere else.
"""
