"""The WSGI application, served by gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from config.reporting import trace

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
trace(requests=True)
application = get_wsgi_application()
