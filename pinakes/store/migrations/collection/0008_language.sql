-- The language of the words may change: a trigger writes them. The expression that wrote them could only be changed by
-- rewriting the whole table while nobody may read it.
--
-- earlier_languages: those that some rows are still stemmed in, as long as a change has not ended; a search asks in each.
-- language_open: nobody has chosen the language, so the first run that brings texts guesses it.
ALTER TABLE images ALTER COLUMN words DROP EXPRESSION;

ALTER TABLE collection
    ADD COLUMN earlier_languages text[] NOT NULL DEFAULT '{{}}',
    ADD COLUMN language_open boolean NOT NULL DEFAULT false;

DO $do$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER words BEFORE INSERT OR UPDATE OF folded ON images
            FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, %L, folded)',
        (
            SELECT format('%I.%I', n.nspname, c.cfgname)
            FROM pg_ts_config AS c
            JOIN pg_namespace AS n ON n.oid = c.cfgnamespace
            WHERE c.oid = coalesce((SELECT language FROM collection), {language})::regconfig
        )
    );
END
$do$;
