#!/bin/sh
# Finds a Python that is new enough and hands over to bootstrap.py. Shell, because the Python found may be too old to
# read the script that would say so.
#
#   sh deploy/scripts/bootstrap.sh runtime|dev      make or complete .venv
#   sh deploy/scripts/bootstrap.sh python FILE …    run a script with the Python that was found
set -u

probe='import sys; sys.stdout.write("%d.%d.%d" % tuple(sys.version_info[:3])); sys.exit(sys.version_info < (3, 11))'
seen=""

try() {
    version=$("$1" -c "$probe" 2>/dev/null) && { python=$1; return 0; }
    case "$version" in
    [0-9]*) seen="$seen $1 is Python $version." ;;
    *) if [ -n "${PYTHON:-}" ]; then seen="$seen $1 (PYTHON) does not run." ; fi ;;
    esac
    return 1
}

python=""
if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON"
else
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        try "$name" && break
    done
fi
if [ -z "$python" ]; then
    echo "Switchdesk needs Python 3.11 or newer.${seen:- There is no python3 here.}" >&2
    echo "Install one, or name one: make run PYTHON=/path/to/python3.11" >&2
    exit 1
fi

here=$(dirname -- "$0")
if [ "${1:-}" = python ]; then
    shift
    exec "$python" "$@"
fi
exec "$python" "$here/bootstrap.py" --python "$python" "$@"
