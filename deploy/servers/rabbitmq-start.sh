#!/bin/sh
# Fills the passwords into rabbitmq-users.json and rabbitmq-worker.json, in the same folder, and starts the broker, which
# reads the results from DEFINITIONS (rabbitmq.conf).
set -eu
umask 077

plain() {
    case $1 in
    *[!A-Za-z0-9_-]* | '') echo "a broker password or login may contain only letters, digits, dashes and underscores" >&2; exit 1 ;;
    esac
}
plain "${SCHEDULER_PASSWORD:?}"
plain "${API_PASSWORD:?}"
plain "${WORKER_PASSWORD:?}"
plain "${WORKER_LOGIN:=worker-default}"

# Through sed's input, not its arguments: those are visible in `ps`. The broker reads the files in the order of their names.
definitions=${DEFINITIONS:-/tmp/definitions}
mkdir -p "$definitions"
sed -f - "$(dirname "$0")/rabbitmq-users.json" > "$definitions/1-users.json" <<END
s/@SCHEDULER_PASSWORD@/$SCHEDULER_PASSWORD/
s/@API_PASSWORD@/$API_PASSWORD/
END
sed -f - "$(dirname "$0")/rabbitmq-worker.json" > "$definitions/2-worker.json" <<END
s/@WORKER_PASSWORD@/$WORKER_PASSWORD/
s/@LOGIN@/$WORKER_LOGIN/g
s/@POOL@/default/g
END
unset SCHEDULER_PASSWORD API_PASSWORD WORKER_PASSWORD

# With the cookie, whoever reaches port 25672 controls the broker, and steps reach it where no network policy applies. One
# that Erlang makes may be guessed. Nobody else needs it: this broker is a single node.
rm -f "${HOME:?}/.erlang.cookie"
od -A n -N 32 -t x1 /dev/urandom | tr -d ' \n' > "$HOME/.erlang.cookie"
exec docker-entrypoint.sh rabbitmq-server
