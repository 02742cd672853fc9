-- What the vectors of a space are about is read from the key of its table alone, which is a fiftieth of the table. The
-- tables of regions have the fingerprint in their key already.
DO $body$
DECLARE
    space text;
BEGIN
    FOR space IN
        SELECT spaces.space
        FROM spaces
        JOIN pg_index ON indrelid = to_regclass(quote_ident(spaces.space)) AND indisprimary
        WHERE indnatts = 1
    LOOP
        EXECUTE format(
            'ALTER TABLE %I DROP CONSTRAINT %I, ADD CONSTRAINT %2$I PRIMARY KEY (image_id) INCLUDE (fingerprint)',
            space,
            (SELECT conname FROM pg_constraint WHERE conrelid = quote_ident(space)::regclass AND contype = 'p')
        );
    END LOOP;
END
$body$;
