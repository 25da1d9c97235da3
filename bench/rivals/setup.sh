#!/bin/sh
# Creates bench/.venv (ignored by git) with what the comparisons need and compiles the Java programs.
# Needs python3 with venv and a JDK 17. Safe to run again: what is there already is kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../.venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  echo '*' > "$venv/.gitignore"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
jars=$("$venv/bin/python" -c 'import os, pyspark; print(os.path.join(os.path.dirname(pyspark.__file__), "jars"))')
mkdir -p "$venv/classes"
javac -nowarn -d "$venv/classes" -cp "$jars/*" "$here"/spark/*.java
echo "ready: $venv"
