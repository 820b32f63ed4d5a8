"""What looks like a secret: an AWS key, a private key, a token; or the name of one. Pure.

Used by words.py and references.py (what looks secret is shown nowhere) and by advice.py (which warns of secrets in the
file). It goes by looks and so is no proof of anything: it may only hide and warn, never refuse.
"""

import re
from typing import Final

# IAM user guide, "Unique identifiers": long-lived keys begin with AKIA, temporary ones with ASIA.
ACCESS_KEY_ID: Final = "(?:AKIA|ASIA)[A-Z0-9]{16}"
PRIVATE_KEY: Final = r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
# Header and claims of a JSON Web Token, each base64 of `{"`. A run of such characters is tried once, from its start,
# and given up as a whole: a file of nothing but starts would take hours.
_RUN: Final = "[A-Za-z0-9_-]"
WEB_TOKEN: Final = rf"(?<!{_RUN})eyJ{_RUN}{{10,}}+\.eyJ{_RUN}{{10,}}+"
# A secret access key is 40 characters of base64. A path of that length has its slashes at regular places; a random one
# of 40 characters has hardly ever four of them (1 in 250).
_SECRET_KEY_CHARS: Final = 40
_SECRET_KEY: Final = re.compile(r"^(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])(?!(?:[^/]*/){4})[A-Za-z0-9/+]{39}[A-Za-z0-9+]$")
_MARKED: Final = re.compile(f"{ACCESS_KEY_ID}|{PRIVATE_KEY}|{WEB_TOKEN}")
_NAME: Final = re.compile(r"secret|token|passw|credential|private|(?:api|access)[-_.]?key", re.IGNORECASE)


def looks_secret(text: str) -> bool:
    """Whether a value looks like one that only few may see."""
    return _MARKED.search(text) is not None or (len(text) == _SECRET_KEY_CHARS and _SECRET_KEY.match(text) is not None)


def name_looks_secret(name: str) -> bool:
    """Whether what is behind such a name (a variable's, a file's path) is likely to be one."""
    return _NAME.search(name) is not None
