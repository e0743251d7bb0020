"""The floor: what the signatures and verifications of an operation cost by themselves, as `openssl speed` tells."""

import shutil
import subprocess

from idp.bench.errors import BenchFailed


def p256_floor(*, signed: int, verified: int, seconds: int = 1) -> dict[str, float | int]:
    """Milliseconds of one core for an operation's P-256 signatures and verifications."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BenchFailed("openssl is not installed; run `make setup`")
    command = [openssl, "speed", "-mr", "-seconds", str(seconds), "ecdsap256"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    # +F4:index:bits:signatures:verifications, each as a rate or as the seconds of one, by OpenSSL's version
    line = next((line for line in ended.stdout.splitlines() if line.startswith("+F4:")), "")
    fields = line.split(":")
    if len(fields) < 5:
        raise BenchFailed(f"openssl speed: {ended.stderr[-200:]}")
    sign_s, verify_s = _each(fields[3]), _each(fields[4])
    return {
        "signed": signed,
        "verified": verified,
        "sign_ms": round(sign_s * 1000, 4),
        "verify_ms": round(verify_s * 1000, 4),
        "floor_ms": round((signed * sign_s + verified * verify_s) * 1000, 4),
    }


def _each(text: str) -> float:
    """Seconds of one, from the seconds of one or from how many there are in a second."""
    value = float(text)
    return 1 / value if value > 1 else value
