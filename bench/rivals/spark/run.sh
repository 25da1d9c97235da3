#!/bin/sh
# Runs one of the Java programs: run.sh Classify INPUT OUTPUT ENDPOINT ... (after ../setup.sh).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.venv
jars=$(echo "$venv"/lib/python3*/site-packages/pyspark/jars)
opens=
for package in java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util java.util.concurrent \
  java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar; do
  opens="$opens --add-opens=java.base/$package=ALL-UNNAMED"
done
exec java $opens -XX:+IgnoreUnrecognizedVMOptions -Djdk.reflect.useDirectMethodHandle=false \
  -Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j2.disable.jmx=true \
  -cp "$venv/classes:$jars/*" "$@"
