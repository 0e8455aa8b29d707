-- Read models are rebuilt beside the live ones. What is live, and how far it is, stands in `projections` as before.

-- When it first was at the end of the log; null while a new shape is built. Until then nobody reads it.
ALTER TABLE projections ADD COLUMN built_at timestamptz;
UPDATE projections p SET built_at = clock_timestamp() FROM log_head h WHERE p.position > 0 OR h.position = 0;

-- The one generation that stands beside the live one of a read model: being built, ready, refused by its check, or the
-- one that was live before.
CREATE TABLE projection_generations (
    name       text        PRIMARY KEY REFERENCES projections (name) ON DELETE CASCADE,
    generation integer     NOT NULL,
    state      text        NOT NULL CHECK (state IN ('building', 'ready', 'refused', 'previous')),
    -- Up to where its rows go; while it is filled, up to where they will go.
    epoch      integer     NOT NULL,
    position   bigint      NOT NULL,
    -- While it is filled, which chunks that takes.
    job        uuid,
    updated_at timestamptz NOT NULL
);

-- Who works on a read model's generations, with a sign of life.
CREATE TABLE projection_leases (
    name    text        PRIMARY KEY REFERENCES projections (name) ON DELETE CASCADE,
    owner   uuid        NOT NULL,
    doing   text        NOT NULL,
    beat_at timestamptz NOT NULL
);

-- The portions in which a job reads the log, and which of them are done.
CREATE TABLE projection_chunks (
    job     uuid        NOT NULL,
    number  integer     NOT NULL,
    -- Events of the courses, or of the streams of users, behind `after` up to `upto`.
    scope   text        NOT NULL CHECK (scope IN ('courses', 'users')),
    after   text        NOT NULL,
    upto    text        NOT NULL,
    events  bigint      NOT NULL,
    done_at timestamptz,
    PRIMARY KEY (job, number)
);

-- For migrations: a shape that no release reads any more goes with all its generations.
CREATE FUNCTION drop_read_model(shape text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    generation text;
BEGIN
    EXECUTE format('DROP VIEW %I', shape);
    FOR generation IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
          AND (c.relname ~ ('^' || shape || '_g[0-9]+$') OR c.relname = shape || '_check')
    LOOP
        EXECUTE format('DROP TABLE %I', generation);
    END LOOP;
    DELETE FROM projections WHERE name = shape;
END
$$;
