#!/bin/sh
# Replaces this shell with the image's component, so that it receives signals; `probe` checks its health.
set -eu
case "${COMPONENT}" in
  all) part=ui ;;
  *) part="${COMPONENT}" ;;
esac
if [ "${1:-}" = probe ]; then
  exec python -P -m services.common.rpc.probe "${part}"
fi
case "${COMPONENT}" in
  all) exec bestshot up --offline "$@" ;;
  orchestrator | ui) module="${COMPONENT}" ;;
  *) module="services.${COMPONENT}" ;;
esac
exec python -P -m services.common.process.start "${module}" "$@"
