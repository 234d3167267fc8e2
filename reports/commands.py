"""The check that needs no code of ours: commands for a shell with OpenSSL, as the report and the
README print them.
"""

_WHOSE = (
    "Whose key is it? Compare this fingerprint with the one the controller gave you by another way "
    "(a letter, a phone call, a web page). Without this step the signatures show only that one key "
    "made them all."
)
_EVERY = "for s in *.sig; do openssl dgst -sha256 -verify public.pem -signature"
_NAMED = (
    "for f in $(ls | grep -v -e '^completion' -e 'pae$' -e 'sig$'); do "
    'grep -q "$(openssl dgst -sha256 -r "$f" | cut -c1-64)" completion.pae '
    '&& echo "$f named" || echo "$f NOT NAMED"; done'
)

COMMANDS: tuple[tuple[str, str], ...] = (
    (_WHOSE, "openssl pkey -pubin -in public.pem -outform DER | openssl dgst -sha256"),
    (
        'Was the final statement signed with it? It must answer "Verified OK".',
        "openssl dgst -sha256 -verify public.pem -signature completion.sig completion.pae",
    ),
    (
        'Were all the others? Every line must say "Verified OK".',
        f'{_EVERY} "$s" "${{s%.sig}}.pae"; done',
    ),
    ("The digest of the report you are reading:", "openssl dgst -sha256 report.html"),
    (
        'Does the final statement name report and other files? Every line must say "named".',
        _NAMED,
    ),
    ("What was signed, in full:", "cut -d' ' -f5- completion.pae"),
)


def readme(request_ref: str) -> str:
    """README.txt of a bundle."""
    steps = "\n\n".join(f"{n}. {say}\n\n   {run}" for n, (say, run) in enumerate(COMMANDS, start=1))
    return (
        f"Evidence of request {request_ref}\n\n"
        "report.html          what was done and measured, for a person; open it in a browser\n"
        "completion.*         the final signed statement; it names every other file by SHA-256\n"
        "policy-commitment.*  what was fixed before the run\n"
        "verification-*       one signed statement for each attempt, failed ones too\n"
        "public.pem           the public key\n\n"
        "  .dsse.json  the statement in its signed envelope (DSSE, in-toto Statement v1)\n"
        "  .pae        the very bytes that were signed\n"
        "  .sig        the signature alone (ECDSA P-256, SHA-256, DER)\n\n"
        "To check, unpack the zip, go into the folder and run:\n\n"
        f"{steps}\n\n"
        "The same, with more checks: lethe verify <this zip> --key <public key you trust>\n"
    )
