#!/bin/sh
# Makes two users with a database each: pinakes (with pgvector) and prefect. PostgreSQL's image runs it once, when its
# volume is empty; run again it changes nothing.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv pinakes_password PINAKES_DB_PASSWORD
\getenv prefect_password PREFECT_DB_PASSWORD

SELECT format('CREATE ROLE pinakes LOGIN PASSWORD %L', :'pinakes_password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pinakes') \gexec
SELECT format('CREATE ROLE prefect LOGIN PASSWORD %L', :'prefect_password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prefect') \gexec
SELECT 'CREATE DATABASE pinakes OWNER pinakes'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'pinakes') \gexec
SELECT 'CREATE DATABASE prefect OWNER prefect'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'prefect') \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE pinakes, prefect FROM PUBLIC;

\connect pinakes
CREATE EXTENSION IF NOT EXISTS vector;

\connect prefect
-- Prefect's server would make it itself; here a server without it is found out at once.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
SQL
