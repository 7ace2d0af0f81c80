#!/bin/sh
# Replaces this shell with the image's component, so that it receives the signals.
set -eu
case "${COMPONENT}" in
  orchestrator | ui) module="${COMPONENT}" ;;
  *) module="services.${COMPONENT}" ;;
esac
exec python -P -m "${module}" "$@"
