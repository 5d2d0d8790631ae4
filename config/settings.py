"""Settings. Everything comes from the environment; what is not given falls back to an embedded default in `var/`.

`docs/settings.md` lists every variable with its meaning.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from config.private import keep_private

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{path} cannot be used as a folder: {error.strerror}. Make it one that this user may write to, or set VAR_DIR."
        ) from None
    return path


def text_of(path: Path, otherwise: str) -> str:
    """What a file says. `otherwise` is what to do where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ImproperlyConfigured(f"{path} cannot be read: {why}. {otherwise}") from None


if (BASE_DIR / ".env").exists():
    # Without its settings this would be another console, on an empty database.
    text_of(BASE_DIR / ".env", "Let this user read it, or take it away.")
    env.read_env(BASE_DIR / ".env")

keep_private()  # before the first file or folder is made
VAR_DIR = folder(Path(env.str("VAR_DIR", default=str(BASE_DIR / "var"))))
# What holds credentials, people's details or links, or leads to them. VAR_DIR itself may be a folder that others use, too.
PRIVATE_FILES = [
    *(VAR_DIR / name for name in ("queue", "mail", "sandbox", "static", "secret-key", "field-key")),
    *VAR_DIR.glob("beat-schedule*"),
    *([VAR_DIR] if VAR_DIR == BASE_DIR / "var" else []),
]
keep_private(*PRIVATE_FILES)


def kept_secret(name: str, make: Callable[[], str], *, is_good: Callable[[str], bool], loses: str) -> str:
    """A secret made once on this machine and kept readable for its owner only."""
    path = VAR_DIR / name
    if not os.path.lexists(path):
        try:
            _keep(path, make())
        except OSError as error:
            raise ImproperlyConfigured(f"{path} cannot be written: {error.strerror}. Make room for it.") from None
    otherwise = f"Put it back from a backup. Only where there is none, delete it, and a new one is made; {loses}."
    secret = text_of(path, otherwise).strip()
    if not is_good(secret):
        what = "holds no whole key" if secret else "is empty"
        raise ImproperlyConfigured(f"{path} {what}. {otherwise}")
    return secret


def _keep(path: Path, secret: str) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        draft.touch(mode=0o600)
        with draft.open("w") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())  # a power cut leaves the whole of it, or nothing
        path.hardlink_to(draft)  # two processes that start at once agree on the first
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _is_fernet_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


# --- where we are -----------------------------------------------------------------------------------------------------
SITE_URL = env.str("SITE_URL", default=f"http://127.0.0.1:{env.int('PORT', default=8000)}").rstrip("/")
_site = urlsplit(SITE_URL)
SITE_IS_LOCAL = _site.hostname in {"127.0.0.1", "localhost", "::1"}
SITE_IS_SECURE = _site.scheme == "https"
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret(
    "secret-key",
    lambda: secrets.token_urlsafe(64),
    is_good=lambda text: len(text) >= 50 and text.isprintable(),
    loses="everybody must sign in again, and links that candidates already have stop working",
)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# The keys of encrypted columns, newest first; older ones still decrypt.
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS", default=[]) or [
    kept_secret(
        "field-key",
        lambda: Fernet.generate_key().decode(),
        is_good=_is_fernet_key,
        loses="credentials and links that are stored can never be read again",
    )
]
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if SITE_IS_LOCAL else [_site.hostname or ""]
)
CSRF_TRUSTED_ORIGINS = [f"{_site.scheme}://{_site.netloc}"]
# Allows vendors at loopback and private addresses and over plain http: for the sandbox. Off on a public site.
ALLOW_LOCAL_VENDORS = env.bool("ALLOW_LOCAL_VENDORS", default=SITE_IS_LOCAL)

# --- the application --------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "proctoring",
]
AUTH_USER_MODEL = "proctoring.User"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "proctoring.middleware.ViewerTimeZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "proctoring.middleware.ReadableAddress",
    "proctoring.middleware.StoredSecrets",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("home")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- data -------------------------------------------------------------------------------------------------------------
_database: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'console.sqlite3'}")
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # A deferred transaction that turns into a write fails at once with "database is locked"; an immediate one waits.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
    }
    PRIVATE_FILES += [Path(f"{_database['NAME']}{end}") for end in ("", "-wal", "-shm")]
    keep_private(*PRIVATE_FILES)
    # A file, not memory: tests share it with real worker processes.
    _database["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
elif _database["ENGINE"] == "django.db.backends.postgresql":
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {
        **_database.get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", default=40), "timeout": 10},
        "connect_timeout": 5,
        "server_side_binding": True,
        # A statement that came five times is parsed and planned no more.
        "prepare_threshold": 5 if env.bool("DATABASE_PREPARED_STATEMENTS", default=True) else None,
    }
DATABASES = {"default": _database}

# --- the queue --------------------------------------------------------------------------------------------------------
# Celery carries only "this account has work". Waits live in the database, so a lost broker loses no work.
SWEEP_SECONDS = env.float("SWEEP_SECONDS", default=5.0)
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any]
if CELERY_BROKER_URL.startswith("filesystem"):
    # Nobody heeds a hint after a minute (waking.HINT_EXPIRES_SECONDS), nor the scheduler's after two of its turns.
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "folder": str(folder(VAR_DIR / "queue" / "messages")),
        "keeps_seconds": max(60.0, SWEEP_SECONDS * 2),
        "polling_interval": 0.1,
    }
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 3600,
        "max_retries": 1,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = env.int("WORKER_THREADS", default=32)
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "proctoring.sweep", "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS * 2}},
}
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # when it last swept need not be kept: no file that could be broken

# --- calls to vendors -------------------------------------------------------------------------------------------------
CALL_DEADLINE_SECONDS = env.float("CALL_DEADLINE_SECONDS", default=30.0)
LEASE_MARGIN_SECONDS = env.float("LEASE_MARGIN_SECONDS", default=15.0)
CALL_MAX_BYTES = env.int("CALL_MAX_BYTES", default=5 * 1024 * 1024)
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=20.0)
SANDBOX_DEFAULT_PORT = 8100
SANDBOX_PORT = env.int("SANDBOX_PORT", default=SANDBOX_DEFAULT_PORT)

# --- counting and remembering -------------------------------------------------------------------------------------------
# Rate limits of the public pages count here; with more than one web process give them one place to count, e.g. Redis.
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

# --- mail -------------------------------------------------------------------------------------------------------------
_mail = env.email_url("EMAIL_URL", default=f"filemail:///{VAR_DIR / 'mail'}")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = str(VAR_DIR / "mail")
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"proctoring@{_site.hostname or 'localhost'}")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- words and times --------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
DATETIME_FORMAT = "j M Y, H:i"

# --- files ------------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = folder(VAR_DIR / "static")
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 30_000  # a tick for each row of a large roster

# --- safety -----------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_IS_SECURE
SESSION_COOKIE_NAME = "proctoring_session" if SITE_IS_SECURE else f"proctoring_session_{_site.port or 80}"
CSRF_COOKIE_NAME = "csrftoken" if SITE_IS_SECURE else f"csrftoken_{_site.port or 80}"
SECURE_SSL_REDIRECT = SITE_IS_SECURE and env.bool("SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if SITE_IS_SECURE else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SITE_IS_SECURE
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "config.logs.masking_filter"}},
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["mask"]}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {
        "proctoring": {"level": env.str("LOG_LEVEL", default="INFO")},
        "celery": {"level": "WARNING"},
        # Without Django's own handlers, which write what they are given as it is. What holds an address is masked at
        # its source, for whatever handler is added.
        "django": {"handlers": [], "level": env.str("LOG_LEVEL", default="WARNING")},
        "django.request": {"filters": ["mask"]},
        "django.security": {"filters": ["mask"]},
        "django.server": {"level": "INFO", "filters": ["mask"], "handlers": ["console"], "propagate": False},
    },
}

from config.unfold import UNFOLD  # noqa: E402, F401
