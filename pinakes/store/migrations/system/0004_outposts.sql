-- Batches of a run that other processes embed than the one that leads it; gone when the run has its answers.
CREATE TABLE batches (
    run_id  uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    number  integer NOT NULL,
    shard   integer,                        -- whose part it is; null: it was handed to a task runner
    work    jsonb,                          -- for a shard, the calls to make
    begun   integer NOT NULL DEFAULT 0,     -- how often a process has begun it
    at_work boolean NOT NULL DEFAULT false, -- one is at it
    result  jsonb,
    PRIMARY KEY (run_id, number)
);

ALTER TABLE runs
    ADD COLUMN outposts text NOT NULL DEFAULT 'open' CHECK (outposts IN ('open', 'stopping', 'closed')),
    ADD COLUMN calls_left bigint;           -- of --max-cost, for all of the run's processes together
