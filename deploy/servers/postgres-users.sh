#!/bin/sh
# Creates the database "dagway" and its three users. The Postgres image runs it once, when its volume is empty. On your own
# server, run it as a superuser with the same variables.
#
# dagway_owner           owns the tables and migrates them; only the migration has its password
# dagway_scheduler_user  reads and writes rows
# dagway_api_user        reads rows only
#
# The migration grants the rights of the last two to the group roles dagway_scheduler and dagway_api.
set -e

# psql reads the passwords from its environment: an argument would be visible in `ps`.
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
-- It has no right to write anyway: this gives a clearer error. The timeout keeps a long query from delaying vacuum.
ALTER ROLE dagway_api_user SET default_transaction_read_only = on;
ALTER ROLE dagway_api_user SET statement_timeout = '30s';
ALTER ROLE dagway_scheduler_user SET idle_in_transaction_session_timeout = '60s';
-- UTF8 whatever the server's default is: texts may contain any character. The collation C is the same on every operating
-- system: with another one, an upgrade of the system, or of the server's image, may damage the unique indexes.
CREATE DATABASE dagway OWNER dagway_owner ENCODING 'UTF8' LC_COLLATE 'C' TEMPLATE template0;
REVOKE ALL ON DATABASE dagway FROM PUBLIC;
GRANT CONNECT ON DATABASE dagway TO dagway_scheduler, dagway_api;
SQL
