"""The database that workers share: SQLite in a file, PostgreSQL, or whatever else SQLAlchemy reaches.

The address may hold a password. It goes to SQLAlchemy and nowhere else: what is printed comes from `shown`.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mnist_lstm.errors import InputError, TrainingError
from mnist_lstm.sweep.study import retry_killed

LOCK_SECONDS = 60
"""How long one worker waits for another that writes to the same SQLite file."""

ATTEMPTS = 5
"""To open a database: workers that start at once disturb each other while they make its tables."""


def sqlite_url(file: Path) -> str:
    """Return the address of an SQLite file."""
    return sqlalchemy.URL.create("sqlite", database=str(file.absolute())).render_as_string()


def shown(url: str) -> str:
    """Return an address without its password; InputError if it is none."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        # not even in part: nobody knows what of it is the password
        raise InputError("--storage: is not the address of a database, such as postgresql://USER@HOST/NAME") from None


def open_storage(url: str, grace: int) -> RDBStorage:
    """Open a database, and make its tables if it is new.

    Args:
        url: its address, as SQLAlchemy takes it.
        grace: seconds without a sign of life after which a worker counts as killed.
    """
    name = shown(url)
    for attempt in range(ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                storage = RDBStorage(
                    # Optuna takes braces for a template of its own
                    url.replace("{", "{{").replace("}", "}}"),
                    engine_kwargs=_engine_options(url),
                    heartbeat_interval=max(1, grace // 4),
                    grace_period=grace,
                    heartbeat_stale_trial_callback=retry_killed,
                )
            break
        except NoSuchModuleError:
            raise InputError(f"--storage {name}: SQLAlchemy knows no such kind of database") from None
        except ImportError as error:
            missing = getattr(error.__cause__, "name", None) or "its driver"
            raise InputError(f"--storage {name}: needs {missing}, which is not installed") from None
        except (SQLAlchemyError, StorageInternalError) as error:
            if attempt + 1 == ATTEMPTS:
                raise InputError(f"--storage {name}: cannot be opened: {reason(error)}") from None
            time.sleep(0.5 * (attempt + 1))
        except RuntimeError as error:  # made by another version of Optuna
            raise InputError(f"--storage {name}: {error}") from None
    if storage.engine.dialect.name == "sqlite":
        _lock_early(storage.engine)
    return storage


def reason(error: Exception) -> str:
    """Return in one line why a database could not be used."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ is not None else error
    return " ".join(str(getattr(cause, "orig", None) or cause).split())


@contextlib.contextmanager
def reachable(url: str) -> Iterator[None]:
    """Turn errors of a database that is gone into one that says so."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise TrainingError(
            f"--storage {shown(url)}: {reason(error)}; trials of this worker are retried by others, or when it starts "
            "again"
        ) from None


def _engine_options(url: str) -> dict[str, object]:
    if sqlalchemy.make_url(url).get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": LOCK_SECONDS}}
    return {"pool_pre_ping": True}  # trials may take longer than a server keeps a connection that is not used


def _lock_early(engine: sqlalchemy.Engine) -> None:
    """Let each transaction of SQLite lock the file when it begins.

    Else two that have read and now want to write would have to fail, and a row that one has read could have been
    changed by another.
    """

    @sqlalchemy.event.listens_for(engine, "connect")
    def leave_it_to_us(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections made before this
