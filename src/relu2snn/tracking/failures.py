"""What MLflow, its databases and its storage raise, as one line: a store that cannot be used, or that is away."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from relu2snn.errors import UserError, machine_error, one_line, printable, shown
from relu2snn.extras import extra

if TYPE_CHECKING:
    from relu2snn.tracking.store import Store

# What a server answers when it, or its database or storage behind it, does not work; mistakes have other codes.
_SERVER = {
    "ABORTED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
}
_DATABASE = {"TEMPORARILY_UNAVAILABLE"}
# PostgreSQL's word for a connection that it refuses: for good, unless it is about to start or to stop.
_REFUSED = re.compile(r"FATAL:(?!.*(starting up|shutting down|not yet accepting|too many|terminating connection))")
_STORAGE = ("boto3", "botocore", "s3transfer")
_TOO_MANY = 429
_LONGEST = 300


class AwayError(UserError):
    """A store that does not answer for now: a server, its database or its storage is not there."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: no answer from this MLflow store ({reason})")
        self.address, self.reason = address, reason


@contextlib.contextmanager
def explained(store: "Store") -> Iterator[None]:
    """Turn what MLflow and its storage raise into one line, without secrets.

    Raises UserError for a store that cannot be used, AwayError for one that does not answer.
    """
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with extra("cluster"):
            yield
    except UserError:
        raise
    except Exception as error:
        known = isinstance(error, MlflowException | SQLAlchemyError | OSError | ImportError)
        # A full disk is no fault of the store.
        if machine_error(error) is not None or not (known or _package(error) in _STORAGE):
            raise
        if is_away(store, error):
            raise AwayError(store.shown_address, _reason(error)) from None
        raise unusable(store, error) from None


def unusable(store: "Store", error: Exception) -> UserError:
    """The line for a store that no waiting mends."""
    return UserError(
        f"{store.shown_address}: MLflow cannot use this store ({_reason(error)}); start the server or mend the "
        "database, or name another store in MLFLOW_TRACKING_URI or tracking.uri"
    )


def is_away(store: "Store", error: BaseException) -> bool:
    """Whether an error says that a server, a database or a storage does not answer, or is broken for now."""
    found: BaseException | None = error
    while found is not None:
        if _no_answer(found) or (store.database is None and _broken(store, found)):
            return True
        found = found.__cause__ or found.__context__
    return False


def _no_answer(error: BaseException) -> bool:
    """An error of the network, or the status of a server that is not well."""
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import HTTPError, Timeout

    if isinstance(error, NoConnection | Timeout):
        return True
    if isinstance(error, HTTPError) and error.response is not None:
        return bool(error.response.status_code >= 500 or error.response.status_code == _TOO_MANY)
    if _package(error) not in _STORAGE:
        return False
    from botocore.exceptions import ClientError, HTTPClientError

    if isinstance(error, ClientError):
        return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500)
    return isinstance(error, HTTPClientError)


def _broken(store: "Store", error: BaseException) -> bool:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import InterfaceError, OperationalError

    if isinstance(error, MlflowException) and not store.served:
        return error.error_code in _DATABASE and not _REFUSED.search(str(error))
    if isinstance(error, MlflowException):
        return error.error_code in _SERVER
    return isinstance(error, OperationalError | InterfaceError) and not _REFUSED.search(str(error))


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _reason(error: Exception) -> str:
    # SQLAlchemy adds the whole statement.
    text = printable(str(error).partition("[SQL:")[0])
    return shown(text, _LONGEST) if text else one_line(error)


def quiet_mlflow() -> None:
    """To be called before mlflow is imported; the user's own settings win."""
    # An absent server costs under a minute instead of many.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    # MLflow logs every error that it also raises, with a traceback, and a server's address for every run.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
