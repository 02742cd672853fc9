-- A run that never said how it ended, and whose lock another has taken over.
ALTER TABLE runs
    DROP CONSTRAINT runs_state_check,
    ADD CONSTRAINT runs_state_check CHECK (state IN ('running', 'completed', 'stopped', 'failed', 'died'));
