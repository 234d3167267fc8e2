"""The commands that the report prints, run as they stand by a shell that knows nothing else."""

import html
import re
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from reports import keys
from reports.commands import COMMANDS


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(zipped: Path, tmp_path: Path) -> Path:
    target = tmp_path / "unpacked"
    with zipfile.ZipFile(zipped) as theirs:
        theirs.extractall(target)
    return target


@pytest.fixture
def printed(folder: Path) -> list[str]:
    """The commands as a reader copies them out of the report."""
    page = (folder / "report.html").read_text()
    return [html.unescape(c) for c in re.findall(r'<pre class="command">(.*?)</pre>', page)]


def test_the_report_and_the_readme_print_the_same_commands(
    printed: list[str], folder: Path
) -> None:
    assert printed == [command for _, command in COMMANDS]
    readme = (folder / "README.txt").read_text()
    assert all(command in readme for command in printed)


def test_openssl_alone_confirms_key_signatures_and_digests(
    printed: list[str], folder: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    whose, final, others, digest, named, signed = (run(command, folder) for command in printed)
    assert keys.keyid(key.public_key()) in whose
    assert final == "Verified OK\n"
    assert others == "Verified OK\n" * 4
    assert sha256((folder / "report.html").read_bytes()).hexdigest() in digest
    assert set(named.splitlines()) == {
        f"{name} named"
        for name in (
            "README.txt",
            "policy-commitment.dsse.json",
            "public.pem",
            "report.html",
            "verification-001.dsse.json",
            "verification-002.dsse.json",
        )
    }
    assert signed.startswith('{"_type":"https://in-toto.io/Statement/v1"')


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("completion.pae", 1, "Verification failure"),
        ("verification-001.pae", 2, "Verification failure"),
        ("report.html", 4, "report.html NOT NAMED"),
        ("policy-commitment.dsse.json", 4, "policy-commitment.dsse.json NOT NAMED"),
    ],
)
def test_openssl_alone_notices_a_changed_file(
    printed: list[str], folder: Path, name: str, index: int, expected: str
) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert expected in run(printed[index], folder)
