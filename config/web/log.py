"""gunicorn's logs, in lines that a request cannot forge."""

from __future__ import annotations

from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from config.lines import LineFormatter


class Log(Logger):  # type: ignore[misc]
    """gunicorn's, with lines as all others of Laurel have them."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for logger, form in ((self.error_log, self.error_fmt), (self.access_log, self.access_fmt)):
            for handler in logger.handlers:
                handler.setFormatter(LineFormatter(form, self.datefmt))

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        # The bytes of a path are no text yet (PEP 3333): log what they were sent as.
        path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
        super().access(resp, req, {**environ, "PATH_INFO": path}, request_time)
