-- What all collections of a database share.

CREATE SEQUENCE fencing_tokens;

CREATE TABLE locks (
    resource    text COLLATE "C" PRIMARY KEY,
    holder      text NOT NULL,
    token       bigint NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);

CREATE TABLE runs (
    run_id     uuid PRIMARY KEY,
    collection text NOT NULL,
    space      text NOT NULL,
    holder     text NOT NULL,
    state      text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'stopped', 'failed')),
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    account    jsonb NOT NULL DEFAULT '{{}}',
    message    text
);
CREATE INDEX runs_by_collection ON runs (collection, started_at DESC);
