-- What processes of one Tern prove to each other on Redis that they are: it is read here and never sent.
-- A process reads it anew once a minute, and when a proof does not fit; so it may be replaced at any time.
ALTER TABLE replica_meta
    ADD COLUMN seal_key bytea NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    ADD CONSTRAINT replica_meta_seal_key_check CHECK (length(seal_key) = 32);
