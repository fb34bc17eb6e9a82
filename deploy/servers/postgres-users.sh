#!/bin/sh
# Makes the database "dagway" and its three users. Run once, by the Postgres image, when its volume is empty;
# on a server of your own run it as a superuser, with the same variables.
#
# dagway_owner           owns the tables and migrates them; only the migration has its password
# dagway_scheduler_user  reads and writes rows
# dagway_api_user        reads rows, and can do nothing else
#
# What the latter two may do is granted to the group roles dagway_scheduler and dagway_api, by the migration.
set -e

# psql reads them from its environment, so that no password is ever an argument that `ps` shows.
export OWNER_PASSWORD="${OWNER_PASSWORD:?}" SCHEDULER_PASSWORD="${SCHEDULER_PASSWORD:?}" API_PASSWORD="${API_PASSWORD:?}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv scheduler_password SCHEDULER_PASSWORD
\getenv api_password API_PASSWORD
SET password_encryption = 'scram-sha-256';
SET log_statement = 'none';
CREATE ROLE dagway_scheduler NOLOGIN;
CREATE ROLE dagway_api NOLOGIN;
CREATE ROLE dagway_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE dagway_scheduler_user LOGIN PASSWORD :'scheduler_password' IN ROLE dagway_scheduler;
CREATE ROLE dagway_api_user LOGIN PASSWORD :'api_password' IN ROLE dagway_api;
-- It could not write anyway; so a mistake says what it is, and no report holds up the clean-up of dead rows.
ALTER ROLE dagway_api_user SET default_transaction_read_only = on;
ALTER ROLE dagway_api_user SET statement_timeout = '30s';
ALTER ROLE dagway_scheduler_user SET idle_in_transaction_session_timeout = '60s';
CREATE DATABASE dagway OWNER dagway_owner;
REVOKE ALL ON DATABASE dagway FROM PUBLIC;
GRANT CONNECT ON DATABASE dagway TO dagway_scheduler, dagway_api;
SQL
