-- What other services report: messages from Kafka become commands, each with its effect exactly once.

-- Names and addresses in the log are sealed with these. Deleting a row erases the person.
CREATE TABLE subject_keys (
    user_id    text        PRIMARY KEY,
    key        bytea       NOT NULL CHECK (octet_length(key) = 32),
    created_at timestamptz NOT NULL
);

-- Where each partition goes on: moved by the append that holds the effects of what lies before.
CREATE TABLE inbound_offsets (
    group_id    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    next_offset bigint      NOT NULL CHECK (next_offset >= 0),
    -- Of the last record before it: tells a topic that was made anew. None after an operator's order.
    fingerprint text,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (group_id, topic, partition)
) WITH (fillfactor = 50);

-- Messages that wait for what they refer to, in the order of their arrival.
CREATE TABLE parked_messages (
    number        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid        NOT NULL UNIQUE,
    identity      text        NOT NULL,
    waits_for     text        NOT NULL,
    group_id      text        NOT NULL,
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    record_time   bigint      NOT NULL,
    headers       jsonb       NOT NULL,
    key           bytea,
    value         bytea,
    parked_at     timestamptz NOT NULL
);
CREATE INDEX parked_messages_waits ON parked_messages (waits_for, number);
CREATE INDEX parked_messages_age ON parked_messages (parked_at);

-- Messages that could not become commands. Numbered without gaps in commit order, so that the bridge can follow them.
CREATE TABLE dead_letters (
    number         bigint      PRIMARY KEY,
    id             uuid        NOT NULL UNIQUE,
    identity       text        NOT NULL,
    code           text        NOT NULL,
    reason         text        NOT NULL,
    group_id       text        NOT NULL,
    topic          text        NOT NULL,
    partition      integer     NOT NULL,
    record_offset  bigint      NOT NULL,
    record_time    bigint      NOT NULL,
    headers        jsonb       NOT NULL,
    key            bytea,
    value          bytea,
    dead_at        timestamptz NOT NULL,
    -- What an operator did about it.
    settled_as     text        CHECK (settled_as IN ('REDRIVEN', 'DISCARDED')),
    settled_at     timestamptz,
    settled_by     text,
    settled_reason text,
    CHECK ((settled_as IS NULL) = (settled_at IS NULL))
);
CREATE INDEX dead_letters_open ON dead_letters (number) WHERE settled_as IS NULL;

-- Claims of messages are forgotten by age.
CREATE INDEX keys_inbox_age ON keys (claimed_at) WHERE space = 'inbox';

-- Which courses show a video; items that were there before this release are found, too.
INSERT INTO keys (space, key, value, position, claimed_at)
SELECT 'video', payload -> 'ModuleItemAdded' ->> 'video_id',
       jsonb_build_object('courses', jsonb_agg(DISTINCT course_id ORDER BY course_id))::text,
       max(position), clock_timestamp()
FROM events
WHERE event_type = 'ModuleItemAdded' AND payload -> 'ModuleItemAdded' ? 'video_id'
GROUP BY 2;

-- Where followers of the log that are no read models stand.
CREATE TABLE followers (
    name     text    PRIMARY KEY,
    epoch    integer NOT NULL,
    position bigint  NOT NULL
);
INSERT INTO followers (name, epoch, position) VALUES ('unpark', 0, 0);

-- The same as before, and `replace`: what is known of a video or how new a report is changes in place.
-- Appends chains of proposals: of each chain everything or nothing.
--
--   c_first  per chain (0-based) its first event id, looked for where `resent`: a chain that stands there is done
--   r_*      asserted reads: the stream has exactly this version (0 = it does not exist)
--   e_*      events, in log order
--   k_*      keys: claim (absent or ours; then ours), held (has this value), absent, release (has this value; then gone),
--            replace (the value is a JSON array of the old value, null for absent, and the new one)
--
-- Answers one row 'head' (n = position before the batch, epoch, recorded_at) and, for chains that were not appended now:
--   'done' (n = position of the chain's first event), 'stale' (a, b = stream, n = its version),
--   'missing' (an event behind a stale read, at most 1,000 a stream), 'key' (a, b = space, key; c = value held or null).
CREATE OR REPLACE FUNCTION append_to_log(
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
                    WHEN 'replace' THEN t.value IS DISTINCT FROM k.value::jsonb ->> 0
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

    INSERT INTO keys (space, key, value, position, claimed_at)
    SELECT k.space, k.key, k.value::jsonb ->> 1, head.position + added, now_at
    FROM unnest(k_chain, k_op, k_space, k_key, k_value) AS k(chain, op, space, key, value)
    WHERE k.op = 'replace' AND k.chain <> ALL (failed)
    ON CONFLICT (space, key) DO UPDATE
    SET value = excluded.value, position = excluded.position, claimed_at = excluded.claimed_at;

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

-- Appends one slice of messages: a chain of proposals with what comes in around it, all or nothing.
--
--   o_*  offsets: the partition stands at o_expected (null = it has no row) and moves to o_next
--   t_*  taken: a parked message that is released or discarded, a dead letter that is redriven or discarded; it must be there
--   w_*  parked messages that wait for something else from now on; they must be there
--   m_*  messages to be parked (m_waits) or to be dead letters (m_code)
--
-- Answers as append_to_log does, all of chain 0. Where nothing was appended: also
--   'offset' (a, b = topic, partition; n = where it stands, null = nowhere), 'gone' (a = id of what is not there).
CREATE FUNCTION append_inbound(
    r_type text[], r_id text[], r_version bigint[],
    e_type text[], e_id text[], e_sequence bigint[], e_event_type text[], e_event_version text[],
    e_payload text[], e_metadata text[], e_event_id uuid[], e_command_id uuid[], e_last boolean[], e_course text[],
    k_op text[], k_space text[], k_key text[], k_value text[],
    o_group text, o_topic text[], o_partition int[], o_expected bigint[], o_next bigint[], o_fingerprint text[],
    t_id uuid[], t_dead boolean[], t_as text[], t_by text, t_reason text,
    w_id uuid[], w_waits text[],
    m_id uuid[], m_identity text[], m_waits text[], m_code text[], m_reason text[],
    m_topic text[], m_partition int[], m_offset bigint[], m_time bigint[], m_headers text[], m_key bytea[], m_value bytea[]
) RETURNS TABLE (kind text, chain int, a text, b text, n bigint, c text, d text, payload jsonb, metadata jsonb, at timestamptz, epoch int)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    answer record;
    failed boolean := false;
    now_at timestamptz;
BEGIN
    PERFORM set_config('transaction_timeout', '10s', true);
    PERFORM 1 FROM log_head FOR UPDATE;
    -- From here on every statement has a snapshot from behind the lock.

    FOR answer IN
        SELECT o.topic, o.partition, i.next_offset
        FROM unnest(o_topic, o_partition, o_expected) AS o(topic, partition, expected)
        LEFT JOIN inbound_offsets i ON i.group_id = o_group AND i.topic = o.topic AND i.partition = o.partition
        WHERE i.next_offset IS DISTINCT FROM o.expected
    LOOP
        failed := true;
        RETURN QUERY SELECT 'offset'::text, 0, answer.topic, answer.partition::text, answer.next_offset, NULL::text, NULL::text,
                            NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::int;
    END LOOP;

    FOR answer IN
        SELECT x.id
        FROM (SELECT t.id, t.dead FROM unnest(t_id, t_dead) AS t(id, dead)
              UNION ALL SELECT w.id, false FROM unnest(w_id) AS w(id)) x
        LEFT JOIN parked_messages p ON p.id = x.id AND NOT x.dead
        LEFT JOIN dead_letters l ON l.id = x.id AND x.dead AND l.settled_as IS NULL
        WHERE p.id IS NULL AND l.id IS NULL AND x.id <> ALL (m_id) -- what is kept by this very call may be settled by it
    LOOP
        failed := true;
        RETURN QUERY SELECT 'gone'::text, 0, answer.id::text, NULL::text, NULL::bigint, NULL::text, NULL::text,
                            NULL::jsonb, NULL::jsonb, NULL::timestamptz, NULL::int;
    END LOOP;
    IF failed THEN
        RETURN;
    END IF;

    FOR answer IN
        SELECT * FROM append_to_log(
            false, ARRAY[NULL::uuid],
            array_fill(0, ARRAY[cardinality(r_id)]), r_type, r_id, r_version,
            array_fill(0, ARRAY[cardinality(e_id)]), e_type, e_id, e_sequence, e_event_type, e_event_version,
            e_payload, e_metadata, e_event_id, e_command_id, e_last, e_course,
            array_fill(0, ARRAY[cardinality(k_op)]), k_op, k_space, k_key, k_value)
    LOOP
        failed := failed OR answer.chain = 0;
        now_at := coalesce(now_at, answer.at);
        RETURN QUERY SELECT answer.kind, answer.chain, answer.a, answer.b, answer.n, answer.c, answer.d,
                            answer.payload, answer.metadata, answer.at, answer.epoch;
    END LOOP;
    IF failed THEN
        RETURN;
    END IF;

    INSERT INTO inbound_offsets (group_id, topic, partition, next_offset, fingerprint, updated_at)
    SELECT o_group, o.topic, o.partition, o.next, o.fingerprint, now_at
    FROM unnest(o_topic, o_partition, o_next, o_fingerprint) AS o(topic, partition, next, fingerprint)
    ON CONFLICT (group_id, topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, fingerprint = excluded.fingerprint, updated_at = excluded.updated_at;

    DELETE FROM parked_messages p USING unnest(t_id, t_dead) AS t(id, dead) WHERE p.id = t.id AND NOT t.dead;

    UPDATE parked_messages p SET waits_for = w.waits FROM unnest(w_id, w_waits) AS w(id, waits) WHERE p.id = w.id;

    INSERT INTO parked_messages (id, identity, waits_for, group_id, topic, partition, record_offset, record_time,
                                 headers, key, value, parked_at)
    SELECT m.id, m.identity, m.waits, o_group, m.topic, m.partition, m.record_offset, m.record_time,
           m.headers::jsonb, m.key, m.value, now_at
    FROM unnest(m_id, m_identity, m_waits, m_topic, m_partition, m_offset, m_time, m_headers, m_key, m_value) WITH ORDINALITY
         AS m(id, identity, waits, topic, partition, record_offset, record_time, headers, key, value, ord)
    WHERE m.waits IS NOT NULL
    ORDER BY m.ord; -- numbered in this order

    INSERT INTO dead_letters (number, id, identity, code, reason, group_id, topic, partition, record_offset, record_time,
                              headers, key, value, dead_at)
    SELECT (SELECT coalesce(max(number), 0) FROM dead_letters) + row_number() OVER (ORDER BY m.ord),
           m.id, m.identity, m.code, m.reason, o_group, m.topic, m.partition, m.record_offset, m.record_time,
           m.headers::jsonb, m.key, m.value, now_at
    FROM unnest(m_id, m_identity, m_code, m_reason, m_topic, m_partition, m_offset, m_time, m_headers, m_key, m_value)
         WITH ORDINALITY
         AS m(id, identity, code, reason, topic, partition, record_offset, record_time, headers, key, value, ord)
    WHERE m.code IS NOT NULL;

    -- What is settled needs its content no more, and may hold what somebody wants to be forgotten.
    UPDATE dead_letters l
    SET settled_as = t.settled_as, settled_at = now_at, settled_by = t_by, settled_reason = t_reason,
        key = NULL, value = NULL, headers = '[]'
    FROM unnest(t_id, t_dead, t_as) AS t(id, dead, settled_as) WHERE l.id = t.id AND t.dead;
END
$$;
