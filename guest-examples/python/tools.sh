# shellcheck shell=bash
# Finds componentize-py, which it installs in a virtual environment. Source it after ../tools.sh.

# Sets COMPONENTIZE_PY, the folder of the environment; call it as componentize_py.
find_componentize_py() {
  command -v python3 >/dev/null || missing "there is no python3: install Python 3.10 or newer (https://www.python.org)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    missing "$(python3 --version) is too old: install Python 3.10 or newer (https://www.python.org)"
  python3 -c 'import ensurepip, venv' 2>/dev/null ||
    missing "Python has no venv module: install it, on Debian and Ubuntu with 'apt install python3-venv'"
  # Another one for each version of the requirements and of Python.
  local version python name
  version=$(sed -n 's/^componentize-py==\([^ ]*\).*/\1/p' "$EXAMPLES/python/requirements.txt")
  python=$(python3 -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
  name=componentize-py-$version-python$python-$(cd "$EXAMPLES/python" && checksum requirements.txt)
  install_tool "$name" "componentize-py $version, some seconds, 70 MB" install_componentize_py has_componentize_py
  COMPONENTIZE_PY=$TOOLS/$name
}

# An environment points to the Python that it was made with; that one may be gone.
has_componentize_py() { "$1/bin/python" -c 'import componentize_py' 2>/dev/null; }

install_componentize_py() {
  python3 -m venv "$1" || missing "python3 cannot make a virtual environment: see above"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement "$EXAMPLES/python/requirements.txt" >&2 || missing "pip cannot install componentize-py: see above"
}

# Not by the script in its bin folder: that names the folder in which it was installed. And with no packages but its own,
# wherever else there are some.
componentize_py() {
  VIRTUAL_ENV=$COMPONENTIZE_PY "$COMPONENTIZE_PY/bin/python" -c \
    'import sys, componentize_py; sys.argv[0] = "componentize-py"; sys.exit(componentize_py.script())' "$@"
}
