"""Where documents may be sent to be read: this machine, or a host that the policy names."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from domain.errors import Code, RequestRejected

_PLACE = "detectors.annotator.endpoint"


def check_endpoint(url: str, remote: Collection[str]) -> None:
    """Refuse every address but this machine's own, and https on a host in `remote`.

    Nothing is resolved: a name that points to this machine is another machine, except `localhost`.
    Raises `RequestRejected` (POLICY_INVALID).
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it is not a URL; write one like http://127.0.0.1:8000/v1") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _refused("it is not a URL; write one like http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _refused("write host, port and path only; a key goes into an environment variable")
    if is_here(host):
        return
    if host not in {name.lower() for name in remote}:
        raise _refused(
            "it is on another machine, and documents would leave this one; name its host under "
            "detectors.annotator.remote if that is meant"
        )
    if parts.scheme != "https":
        raise _refused("documents go to another machine only encrypted; write https")


def is_here(host: str) -> bool:
    """Whether a host is this machine, without asking anybody for its address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(remedy: str) -> RequestRejected:
    return RequestRejected(Code.POLICY_INVALID, place=_PLACE, remedy=remedy)
