#!/bin/sh
# Fills the passwords into rabbitmq-users.json, in the same folder, and starts the broker.
set -eu
umask 077

plain() {
    case $1 in
    *[!A-Za-z0-9_-]* | '') echo "a broker password may contain only letters, digits, dashes and underscores" >&2; exit 1 ;;
    esac
}
plain "${SCHEDULER_PASSWORD:?}"
plain "${API_PASSWORD:?}"
plain "${WORKER_PASSWORD:?}"

# Through sed's input, not its arguments: those are visible in `ps`.
sed -f - "$(dirname "$0")/rabbitmq-users.json" > /tmp/rabbitmq-users.json <<END
s/@SCHEDULER_PASSWORD@/$SCHEDULER_PASSWORD/
s/@API_PASSWORD@/$API_PASSWORD/
s/@WORKER_PASSWORD@/$WORKER_PASSWORD/
END
unset SCHEDULER_PASSWORD API_PASSWORD WORKER_PASSWORD
exec docker-entrypoint.sh rabbitmq-server
