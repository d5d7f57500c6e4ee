"""What a failed step's own words say about the cause, where lamina knows the mending line and the program does not.

Only what the surroundings of a step cause is here: a mistake in the command is the program's to explain.
"""

from __future__ import annotations

from collections.abc import Sequence

_STATUSES = {
    126: "the command was found but cannot be executed: check its mode and its #! line",
    127: "the command was not found in the step's PATH",
    137: "the process was killed: often the machine had no memory left",
}

_UNTRUSTED = (
    "the step does not trust a server's certificate; if this machine does, as behind a proxy of a company, "
    "`--ca-certs host` lends the step what it trusts"
)
_ONE_ID = (
    "an id that is not mapped cannot be used: without sub-uids, an ordinary user's steps have one user id alone; "
    "`lamina doctor` has the line that gives more"
)
_FULL = "make room: `lamina cache prune`, or move the store with --root"

#: (all of these words in one line of the output, compared in lower case) → hint. OpenSSL's and GnuTLS' words for a
#: certificate of an unknown issuer; glibc's for EINVAL and ENOSPC.
_WORDS = (
    (("certificate_verify_failed",), _UNTRUSTED),
    (("certificate verify failed",), _UNTRUSTED),
    (("self-signed certificate in certificate chain",), _UNTRUSTED),
    (("unable to get local issuer certificate",), _UNTRUSTED),
    (("certificate verification failed",), _UNTRUSTED),
    (("self_signed_cert_in_chain",), _UNTRUSTED),
    (("ownership", "invalid argument"), _ONE_ID),
    (("chown", "invalid argument"), _ONE_ID),
    (("setegid", "invalid argument"), _ONE_ID),
    (("seteuid", "invalid argument"), _ONE_ID),
    (("setgroups", "operation not permitted"), _ONE_ID),
    (("no space left on device",), _FULL),
)


def step_hint(status: int, output: Sequence[str]) -> str | None:
    """What to do about a step that ended with `status` (as a shell counts) after these last lines; None if unknown."""
    if status in _STATUSES:
        return _STATUSES[status]
    lowered = [line.lower() for line in output]
    for words, hint in _WORDS:
        if any(all(word in line for word in words) for line in lowered):
            return hint
    return None
