"""Resolves pyproject.toml into the two lock files, for every Python from 3.11 on and without addresses of an index.

The second lock is held to the versions of the first, so that tests run on what is shipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILE = [
    *("pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet", "--upgrade"),
]


def main() -> int:
    uv = shutil.which("uv")
    if uv is None:
        print("uv is not here. It makes the locks; `pip install uv` brings it.", file=sys.stderr)
        return 1
    for arguments in (
        ["-o", "deploy/requirements.lock"],
        ["--extra", "dev", "-c", "deploy/requirements.lock", "-o", "deploy/requirements-dev.lock"],
    ):
        subprocess.run([uv, *COMPILE, *arguments], cwd=ROOT, check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())
