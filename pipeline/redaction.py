"""Removes secrets from texts: from every address in them. Errors, logs and the doctor use it.

An address is recognised by its form, so messages of engines that repeat one are covered, too.
"""

from __future__ import annotations

import re

HIDDEN = "…"

# Up to the last @, since a password may hold @ and / that nobody has encoded. Without a colon it is a name or
# a token, before the first slash; in Azure's addresses it is the container.
_USER = re.compile(
    r"""
    (?P<scheme>\b[a-z][a-z0-9+.-]*://)
    (?: [^\s'"<>:@/]*:[^\s'"<>]*@ | (?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)[^\s'"<>/]*@ )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PARAMETER = re.compile(
    r"""
    (?P<name>[?&;][\w.-]*(?:pass|pwd|secret|token|key|sig|credential|auth)[\w.-]*=)[^\s'"<>&;#]+
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What an object store repeats of the request that it refuses.
_REPEATED = re.compile(
    r"(?P<name><(?:Token-\d+|AWSAccessKeyId|SignatureProvided|(?:StringToSign|CanonicalRequest)(?:Bytes)?)>)[^<]*",
)
_LIBPQ = re.compile(r"(?P<name>\b\w*password\s*=\s*)(?:'(?:\\.|[^'\\])*'|[^\s'\"]+)", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without users and passwords of addresses, without parameters whose names sound like secrets,
    and without what an object store repeats of a request.
    """
    text = _USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    for pattern in (_PARAMETER, _LIBPQ, _REPEATED):
        text = pattern.sub(rf"\g<name>{HIDDEN}", text)
    return text
