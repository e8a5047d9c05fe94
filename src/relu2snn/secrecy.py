"""Passwords and tokens, in addresses and in the environment: kept out of every line that is shown or written."""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

# What programs here take a secret from, and addresses that may hold one.
_VARIABLES = re.compile(r"(?i)(MLFLOW|AWS|PG|SLURM|S3|AZURE|GOOGLE|DATABRICKS)\w*(PASSWORD|TOKEN|SECRET|ACCESS_KEY)\w*")
_ADDRESSES = re.compile(r"MLFLOW\w*_URI|MLFLOW_S3_ENDPOINT_URL")
# Shorter ones would be found in every other word.
_SHORTEST = 5
_STARS = "***"

# Whatever stands between "://" and the last "@" of a word: passwords may hold any sign.
_USER = re.compile(r"(?i)(?<=://)([^\s:/@'\"]*)(:[^\s'\"]*)@")
# Where a web server asks for a name alone, it is a token.
_BARE = re.compile(r"(?i)(https?://)[^\s:/@'\"]+@")
_NAMES = r"(?!sslkey=)[\w.-]*(?:passw|pwd|secret|token|key|sig|credential)[\w.-]*"
_QUERY = re.compile(rf"(?i)([?&;]{_NAMES}=)[^\s&#'\"]*[^\s&#'\":;,)]")


def hidden(text: str) -> str:
    """`text` with stars for the passwords of addresses and for every secret of the environment."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, _STARS)
    return _without(text)


def holds_secret(address: str) -> bool:
    """Whether an address has a password, a token or a signature in it."""
    return _without(address) != address


def _without(text: str) -> str:
    text = _USER.sub(rf"\1:{_STARS}@", text)
    return _QUERY.sub(rf"\1{_STARS}", _BARE.sub(rf"\1{_STARS}@", text))


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        found = [value] if _VARIABLES.fullmatch(name) else []
        if _ADDRESSES.fullmatch(name) and (user := _USER.search(value)):
            found.append(user[2][1:])
        for each in found:
            yield from (text for text in {each, unquote(each)} if len(text) >= _SHORTEST)
