# Tasks bind to this application in every process that loads Django, the web process included.
from config.celery import app

__all__ = ["app"]
