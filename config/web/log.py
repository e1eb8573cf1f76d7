"""gunicorn's logs, in lines that a request cannot forge."""

from __future__ import annotations

from gunicorn.config import Config
from gunicorn.glogging import Logger

from config.lines import formatter


class Log(Logger):  # type: ignore[misc]
    """gunicorn's, with lines as all others of Laurel have them."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for logger, form in ((self.error_log, self.error_fmt), (self.access_log, self.access_fmt)):
            for handler in logger.handlers:
                handler.setFormatter(formatter(form))
