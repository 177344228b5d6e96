"""What the exceptions of Airflow's filesystems mean for a photo, in one line without secrets; each library has its own."""

from __future__ import annotations

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    DestinationFullError,
    ServerError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage.location import Location

AZURE = frozenset({"abfs", "abfss", "adl", "az", "wasb", "wasbs"})
GOOGLE = frozenset({"gs", "gcs"})
SFTP = frozenset({"sftp", "ssh"})

#: What brings a scheme's filesystem.
_PACKAGES = {
    **dict.fromkeys(AZURE, "apache-airflow-providers-microsoft-azure"),
    **dict.fromkeys(GOOGLE, "apache-airflow-providers-google"),
    **dict.fromkeys(SFTP, "apache-airflow-providers-sftp[sshfs]"),
}

_NO_CREDENTIALS = frozenset({"DefaultCredentialsError", "CredentialUnavailableError", "NoCredentialsError"})
_BAD_CREDENTIALS = frozenset({"RefreshError", "MalformedError", "PermissionDenied"})
_BAD_CODES = frozenset({"AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo"})
_UNUSABLE = frozenset(
    {"AzureSigningError", "KeyImportError", "KeyEncryptionError", "HostKeyNotVerifiable", "KeyExchangeFailed"}
)
_DENIED = frozenset({"PermissionError", "SFTPPermissionDenied", "SFTPWriteProtect"})
_MISSING = frozenset({"FileNotFoundError", "ResourceNotFoundError", "SFTPNoSuchFile", "SFTPNoSuchPath"})
_NOT_A_FILE = frozenset({"IsADirectoryError", "NotADirectoryError", "SFTPNotADirectory", "SFTPFileIsADirectory"})
_BAD_NAME = frozenset({"SFTPBadMessage", "SFTPInvalidFilename", "InvalidResourceName", "InvalidUri"})
_FULL = frozenset({"SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded"})
_CUT_OFF = frozenset(
    {"OSError", "TimeoutError", "ServiceRequestError", "ServiceResponseError", "ClientError", "TransportError"}
    | {"RequestException", "DisconnectError", "SFTPNoConnection", "SFTPConnectionLost", "ChannelOpenError"}
)


def explain(error: Exception, location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """Return the error to raise instead of one that a filesystem raised at work.

    :param kind: SourceError or DestinationError, for what a retry cannot help.
    """
    uri, names, status, code = location.uri, _names(error), _status(error), getattr(error, "error_code", None)
    where, name = f" ({_connection(location)})", type(error).__name__
    if (told := _before_work(error, location)) is not None:
        return kind(told)
    if code == "ContainerNotFound":
        return no_bucket(location, kind)
    if names & _MISSING or status == 404:
        what = f"{uri}: its bucket or folder" if kind is DestinationError else uri
        return kind(f"{what} does not exist{where}.")
    if names & _DENIED or status in (401, 403) or str(error).startswith("Forbidden:"):
        return kind(f"{uri}: access denied{where}. Check what its credentials may do.")
    if names & _NOT_A_FILE:
        return kind(f"{uri} is not where a file can be ({name}).")
    if names & _BAD_NAME or code in _BAD_NAME:
        return kind(f"{uri}: the store takes no such name ({name}){where}.")
    if names & _FULL:
        full = DestinationFullError if kind is DestinationError else kind
        return full(f"{uri}: the store is full{where}.")
    if names & _CUT_OFF and status is None:
        return UnreachableError(f"{uri}: the store failed ({name}){where}; try again.")
    return ServerError(f"{uri}: the store failed ({name}){where}; try again.", status_code=status)


def explain_connection(error: Exception, location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """Return the error to raise where the connection to a store does not come about: before any file is asked for."""
    uri, names, name, connection = location.uri, _names(error), type(error).__name__, _connection(location)
    if isinstance(error, OSError) and (error.filename or isinstance(error, FileNotFoundError)):
        return kind(f"{uri}: the key file that {connection} names cannot be read: {_reason(error)}.")
    if (told := _before_work(error, location)) is not None:
        return kind(told)
    if names & _DENIED:
        return kind(f"{uri}: the server does not take the credentials of {connection} ({name}).")
    if names & _CUT_OFF:
        return UnreachableError(f"{uri}: the server of {connection} cannot be reached ({name}); try again.")
    return kind(
        f"{uri}: {connection} cannot be used ({name}). Check its fields, and that it is one of {location.scheme}://."
    )


def no_filesystem(location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """The error about a scheme that Airflow has no filesystem for."""
    return kind(f"{location.uri}: Airflow has no filesystem for {location.scheme}://. {_install(location.scheme)}")


def no_bucket(location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """The error about a bucket or container that does not exist."""
    return kind(f"{location.uri}: there is no bucket or container {location.bucket!r} ({_connection(location)}).")


def no_host(location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """The error about a connection without a server, for which libraries would take this machine."""
    return kind(f"{location.uri}: {_connection(location)} lacks a host. Fill it in, or name another connection.")


def is_denied(error: Exception) -> bool:
    """Whether the credentials do not suffice for what was asked."""
    return bool(_names(error) & _DENIED) or _status(error) in (401, 403) or str(error).startswith("Forbidden:")


def _before_work(error: Exception, location: Location) -> str | None:
    """Say what is wrong with the connection or the libraries for it, ``None`` where nothing is."""
    names, connection, code = _names(error), _connection(location), getattr(error, "error_code", None)
    name = str(getattr(code, "value", None) or code or type(error).__name__)
    if "AirflowNotFoundException" in names:
        return f"{location.uri}: there is no Airflow {connection}."
    if isinstance(error, ImportError):
        lacks = f"is not installed ({error.name})" if error.name else "lacks a library"
        return f"{location.uri}: the filesystem for {location.scheme}:// {lacks}. {_install(location.scheme)}"
    if names & _NO_CREDENTIALS:
        return f"{location.uri}: no credentials ({name}). Fill in {connection}, or name another."
    if names & _UNUSABLE:
        return f"{location.uri}: {connection} cannot be used ({name}). Check its key, and whom it trusts."
    if names & _BAD_CREDENTIALS or code in _BAD_CODES:
        return f"{location.uri}: the store does not take the credentials of {connection} ({name})."
    return None


def _connection(location: Location) -> str:
    return f"connection {location.conn_id!r}" if location.conn_id else "without a connection"


def _install(scheme: str) -> str:
    package = _PACKAGES.get(scheme)
    return f"Install {package}." if package else "Install the provider that brings it."


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _names(error: Exception) -> set[str]:
    """The names of an exception's classes, and of what a library has wrapped in it as an error of another kind."""
    names = {each.__name__ for each in type(error).__mro__}
    cause = error.__cause__
    if isinstance(cause, Exception) and type(error).__name__ in ("RuntimeError", "ValueError", "PermissionError"):
        names |= {each.__name__ for each in type(cause).__mro__}
    return names


def _status(error: Exception) -> int | None:
    """The status of an HTTP answer; other protocols have codes of their own."""
    for attribute in ("status_code", "status", "code"):
        value = getattr(error, attribute, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value) if int(value) >= 100 else None
    return None
