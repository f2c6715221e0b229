# Sourced by the other scripts: create or reuse .venv and install the requirements once.
#   prepare_environment EXTRA    EXTRA is "" or an extra of pyproject.toml, such as "dev"

prepare_environment() {
    local extra=$1 python=${PYTHON:-python3} stamp wanted
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "scmn needs Python 3.10 or newer; set PYTHON to one (found: $("$python" --version))" >&2
        return 2
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "creating .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    # The stamp records what was installed, so that a second run installs nothing.
    stamp=.venv/installed${extra:+-$extra}
    wanted=$(cat requirements.txt pyproject.toml setup.py | sha256sum)
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        echo "installing scmn${extra:+[$extra]} into .venv (takes a few minutes the first time)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            -r requirements.txt -e ".${extra:+[$extra]}"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    export PATH=$PWD/.venv/bin:$PATH
}
