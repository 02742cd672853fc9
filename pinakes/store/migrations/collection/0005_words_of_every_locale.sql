-- Full text without the characters that only some locales take for letters.
--
-- The work is done in Python, batch by batch (`pinakes.store.folded_texts.fold_stored`), and the migration is entered when
-- that has ended. So each statement here may be carried out a second time.
COMMENT ON COLUMN images.folded IS 'what full text finds an image by, folded by Pinakes';
