"""Makes what docker compose needs and no repository may hold: certificates, passwords, settings with them.

    python3 docker/setup.py victoria
    docker compose --env-file docker/secrets/compose.env up -d

`influx` in place of `victoria` takes InfluxDB 2. Needs Python and openssl. What is there already stays.
"""

import argparse
import base64
import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
LANGUAGES = {"victoria": "promql", "influx": "flux"}
BROKERS = {"mosquitto": ("plantree", "operator", "health"), "cloud": ("plantree", "analyst", "health")}
_ROUNDS = 101
_DAYS = "3650"

PLANTREE_YAML = Template("""\
# Plantree's settings that hold passwords; the others are in docker-compose.yml.
mqtt:
  url: mqtts://plantree:$mosquitto@mosquitto:8883
  ca: /run/secrets/ca
  bridge:
    url: mqtts://plantree:$cloud@cloud:8883
    ca: /run/secrets/ca
influx:
$influx
""")
INFLUX_YAML = {
    "victoria": "  url: http://victoria:8428\n  database: victoriametrics",
    "influx": "  url: http://influxdb:8086\n  database: influxdb\n  org: plantree\n  token: $token",
}


def main() -> int:
    """Make what is missing; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", choices=LANGUAGES)
    parser.add_argument("--webhook", default="http://webhook.invalid/", help="where Grafana sends alerts")
    parser.add_argument("--folder", type=Path, default=HERE / "secrets", help="where it goes (default: %(default)s)")
    args = parser.parse_args()
    folder: Path = args.folder
    # Containers run as users of their own, and read the files; the folder keeps everybody else out.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        make(folder, args.database, args.webhook)
    except FileNotFoundError:
        sys.stderr.write("error: openssl is not installed\n")
        return 1
    sys.stdout.write(
        f"docker compose --env-file {folder / 'compose.env'} up -d\n"
        f"Grafana's administrator is admin, the password is in {folder / 'grafana_password'}.\n"
    )
    return 0


def make(folder: Path, database: str, webhook: str) -> None:
    """Write every file that is missing; those that follow from `database` are written anew."""
    certificates(folder)
    words = {name: word(folder / f"{name}_password") for name in ("grafana", "influx", "health")}
    token = word(folder / "influx_token")
    own: dict[str, str] = {}
    for broker, users in BROKERS.items():
        passwords = {user: word(folder / f"{broker}_{user}_password") for user in users if user != "health"}
        own[broker] = passwords["plantree"]
        lines = [f"{user}:{mosquitto_hash(text)}\n" for user, text in {**passwords, "health": words["health"]}.items()]
        if not (folder / f"{broker}_passwords").exists():
            write(folder / f"{broker}_passwords", "".join(lines))
    influx = Template(INFLUX_YAML[database]).substitute(token=token)
    write(folder / "plantree.yaml", PLANTREE_YAML.substitute(own, influx=influx))
    write(folder / "alert_webhook", webhook)
    write(folder / "compose.env", f"COMPOSE_PROFILES={database}\nGRAFANA_LANGUAGE={LANGUAGES[database]}\n")


def certificates(folder: Path) -> None:
    """Make an authority of our own and a certificate a broker."""
    if not (folder / "ca.pem").exists():
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        uses = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        openssl("req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", _DAYS,
                "-subj", "/CN=Plantree compose", *uses)  # fmt: skip
        (folder / "ca.pem").chmod(0o444)
    for broker in BROKERS:
        key, request, certificate = (folder / f"{broker}.{end}" for end in ("key", "csr", "pem"))
        if certificate.exists():
            continue
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={broker}")
        extensions = folder / f"{broker}.ext"
        extensions.write_text(f"subjectAltName=DNS:{broker},DNS:localhost\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
                "-CAcreateserial", "-days", _DAYS, "-extfile", extensions, "-out", certificate)  # fmt: skip
        request.unlink()
        extensions.unlink()
        key.chmod(0o444)
        certificate.chmod(0o444)


def openssl(*arguments: str | Path) -> None:
    """Run openssl; CalledProcessError with what it says."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)  # noqa: S603, S607


def word(file: Path) -> str:
    """Return the password in a file, a new one if there is none; fit for a URL."""
    if not file.exists():
        write(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")


def write(file: Path, text: str) -> None:
    """Write a file that containers may read."""
    file.unlink(missing_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o444)


def mosquitto_hash(password: str) -> str:
    """Hash a password as mosquitto_passwd does: PBKDF2 with SHA-512."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


if __name__ == "__main__":
    sys.exit(main())
