#!/bin/sh
# Runs the image's component in the place of this shell, so that it gets the signals.
set -eu
case "${COMPONENT}" in
  orchestrator | ui) module="${COMPONENT}" ;;
  *) module="services.${COMPONENT}" ;;
esac
exec python -P -m "${module}" "$@"
