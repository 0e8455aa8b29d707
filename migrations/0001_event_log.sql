-- The event log: what happened, in commit order. Superset of the table of postgres-es, so that its tools read it too.

-- One row: the end of the log. Whoever appends locks it first; that is what makes positions gapless and commit-ordered.
CREATE TABLE log_head (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id      uuid        NOT NULL,
    epoch       integer     NOT NULL CHECK (epoch >= 0),
    position    bigint      NOT NULL CHECK (position >= 0),
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10);

INSERT INTO log_head (log_id, epoch, position, recorded_at) VALUES (gen_random_uuid(), 0, 0, clock_timestamp());

CREATE TABLE events (
    aggregate_type  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    sequence        bigint      NOT NULL CHECK (sequence > 0),
    event_type      text        NOT NULL,
    event_version   text        NOT NULL,
    payload         jsonb       NOT NULL,
    metadata        jsonb       NOT NULL,
    position        bigint      NOT NULL,
    epoch           integer     NOT NULL,
    recorded_at     timestamptz NOT NULL,
    event_id        uuid        NOT NULL,
    command_id      uuid        NOT NULL,
    last_of_command boolean     NOT NULL,
    course_id       text,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
);

CREATE UNIQUE INDEX events_position ON events (position);
CREATE UNIQUE INDEX events_event_id ON events (event_id);
CREATE INDEX events_course ON events (course_id, position);

-- What must be unique or found by the write side: course codes, and later idempotency keys, assessments, inbox claims.
CREATE TABLE keys (
    space      text        NOT NULL,
    key        text        NOT NULL,
    value      text        NOT NULL,
    position   bigint      NOT NULL,
    claimed_at timestamptz NOT NULL,
    PRIMARY KEY (space, key)
);

-- Appends chains of proposals: of each chain everything or nothing.
--
--   c_first  per chain (0-based) its first event id, looked for where `resent`: a chain that stands there is done
--   r_*      asserted reads: the stream has exactly this version (0 = it does not exist)
--   e_*      events, in log order
--   k_*      keys: claim (absent or ours; then ours), held (has this value), absent, release (has this value; then gone)
--
-- Answers one row 'head' (n = position before the batch, epoch, recorded_at) and, for chains that were not appended now:
--   'done' (n = position of the chain's first event), 'stale' (a, b = stream, n = its version),
--   'missing' (an event behind a stale read, at most 1,000 a stream), 'key' (a, b = space, key; c = value held or null).
CREATE FUNCTION append_to_log(
    resent boolean, c_first uuid[],
    r_chain int[], r_type text[], r_id text[], r_version bigint[],
    e_chain int[], e_type text[], e_id text[], e_sequence bigint[], e_event_type text[], e_event_version text[],
    e_payload text[], e_metadata text[], e_event_id uuid[], e_command_id uuid[], e_last boolean[], e_course text[],
    k_chain int[], k_op text[], k_space text[], k_key text[], k_value text[]
) RETURNS TABLE (kind text, chain int, a text, b text, n bigint, c text, d text, payload jsonb, metadata jsonb, at timestamptz, epoch int)
LANGUAGE plpgsql VOLATILE
-- Plans made while the tables were empty would scan them for ever.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    head   log_head%ROWTYPE;
    now_at timestamptz;
    done   int[] := '{}';
    stale  int[];
    taken  int[];
    failed int[];
    added  bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append_to_log needs READ COMMITTED: its checks must see what committed before it got the lock';
    END IF;
    -- A client that vanishes between Execute and Sync would hold the lock for ever. Local to the transaction, not to the function.
    PERFORM set_config('transaction_timeout', '10s', true);
    SELECT * INTO STRICT head FROM log_head FOR UPDATE;
    -- From here on every statement has a snapshot from behind the lock.
    now_at := greatest(clock_timestamp(), head.recorded_at + interval '1 microsecond');

    IF resent THEN
        SELECT coalesce(array_agg((f.ord - 1)::int), '{}') INTO done
        FROM unnest(c_first) WITH ORDINALITY AS f(event_id, ord) JOIN events e ON e.event_id = f.event_id;
    END IF;

    SELECT coalesce(array_agg(DISTINCT r.chain), '{}') INTO stale
    FROM unnest(r_chain, r_type, r_id, r_version) AS r(chain, type, id, version)
    WHERE r.version <> coalesce((SELECT e.sequence FROM events e
                                 WHERE e.aggregate_type = r.type AND e.aggregate_id = r.id
                                 ORDER BY e.sequence DESC LIMIT 1), 0)
      AND r.chain <> ALL (done);

    SELECT coalesce(array_agg(DISTINCT k.chain), '{}') INTO taken
    FROM unnest(k_chain, k_op, k_space, k_key, k_value) AS k(chain, op, space, key, value)
    LEFT JOIN keys t ON t.space = k.space AND t.key = k.key
    WHERE CASE k.op WHEN 'claim' THEN t.value <> k.value
                    WHEN 'absent' THEN t.value IS NOT NULL
                    ELSE t.value IS DISTINCT FROM k.value END
      AND k.chain <> ALL (done || stale);

    failed := done || stale || taken;

    INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                        position, epoch, recorded_at, event_id, command_id, last_of_command, course_id)
    SELECT e.type, e.id, e.sequence, e.event_type, e.event_version, e.payload::jsonb, e.metadata::jsonb,
           head.position + row_number() OVER (ORDER BY e.ord), head.epoch, now_at,
           e.event_id, e.command_id, e.last, e.course
    FROM unnest(e_chain, e_type, e_id, e_sequence, e_event_type, e_event_version, e_payload, e_metadata,
                e_event_id, e_command_id, e_last, e_course) WITH ORDINALITY
         AS e(chain, type, id, sequence, event_type, event_version, payload, metadata, event_id, command_id, last, course, ord)
    WHERE e.chain <> ALL (failed);
    GET DIAGNOSTICS added = ROW_COUNT;

    INSERT INTO keys (space, key, value, position, claimed_at)
    SELECT k.space, k.key, k.value, head.position + added, now_at
    FROM unnest(k_chain, k_op, k_space, k_key, k_value) AS k(chain, op, space, key, value)
    WHERE k.op = 'claim' AND k.chain <> ALL (failed)
    ON CONFLICT DO NOTHING;

    DELETE FROM keys t
    USING unnest(k_chain, k_op, k_space, k_key) AS k(chain, op, space, key)
    WHERE k.op = 'release' AND k.chain <> ALL (failed) AND t.space = k.space AND t.key = k.key;

    IF added > 0 THEN
        UPDATE log_head SET position = head.position + added, recorded_at = now_at;
    END IF;

    RETURN QUERY SELECT 'head'::text, -1, NULL::text, NULL::text, head.position, NULL::text, NULL::text,
                        NULL::jsonb, NULL::jsonb, now_at, head.epoch;
    IF cardinality(done) > 0 THEN
        RETURN QUERY SELECT 'done'::text, (f.ord - 1)::int, NULL::text, NULL::text, e.position, NULL::text, NULL::text,
                            NULL::jsonb, NULL::jsonb, e.recorded_at, e.epoch
        FROM unnest(c_first) WITH ORDINALITY AS f(event_id, ord) JOIN events e ON e.event_id = f.event_id;
    END IF;
    IF cardinality(stale) > 0 THEN
        RETURN QUERY
        SELECT 'stale'::text, r.chain, r.type, r.id, coalesce(l.sequence, 0), NULL::text, NULL::text,
               NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::int
        FROM unnest(r_chain, r_type, r_id, r_version) AS r(chain, type, id, version)
        LEFT JOIN LATERAL (SELECT e.sequence FROM events e WHERE e.aggregate_type = r.type AND e.aggregate_id = r.id
                           ORDER BY e.sequence DESC LIMIT 1) l ON true
        WHERE r.chain = ANY (stale) AND r.version <> coalesce(l.sequence, 0);
        RETURN QUERY
        SELECT 'missing'::text, r.chain, r.type, r.id, m.sequence, m.event_type, m.event_version,
               m.payload, m.metadata, m.recorded_at, m.epoch
        FROM unnest(r_chain, r_type, r_id, r_version) WITH ORDINALITY AS r(chain, type, id, version, ord)
        CROSS JOIN LATERAL (SELECT e.* FROM events e
                            WHERE e.aggregate_type = r.type AND e.aggregate_id = r.id AND e.sequence > r.version
                            ORDER BY e.sequence LIMIT 1000) m
        WHERE r.chain = ANY (stale)
        ORDER BY r.ord, m.sequence;
    END IF;
    IF cardinality(taken) > 0 THEN
        RETURN QUERY
        SELECT 'key'::text, k.chain, k.space, k.key, NULL::bigint, t.value, NULL::text,
               NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::int
        FROM unnest(k_chain, k_space, k_key) AS k(chain, space, key)
        LEFT JOIN keys t ON t.space = k.space AND t.key = k.key
        WHERE k.chain = ANY (taken);
    END IF;
END
$$;
