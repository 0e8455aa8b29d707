-- Who does what only one instance should do. Says who tries, never who may: a row is no fence.
CREATE TABLE leases (
    name       text        PRIMARY KEY,
    holder     uuid        NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A copy of what the progress topic says, never ahead of it: for the lag, and as a tripwire against a lost topic.
CREATE TABLE bridge_progress (
    lane       text        PRIMARY KEY,
    log_id     uuid        NOT NULL,
    epoch      integer     NOT NULL,
    position   bigint      NOT NULL CHECK (position >= 0),
    event_id   uuid,
    cluster_id text        NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- An operator's order where to go on; the next takeover follows and removes it.
CREATE TABLE bridge_resume (
    lane          text        PRIMARY KEY,
    from_source   text        NOT NULL CHECK (from_source IN ('progress', 'postgres', 'position')),
    from_position bigint      CHECK (from_position >= 0),
    requested_at  timestamptz NOT NULL,
    CHECK ((from_source = 'position') = (from_position IS NOT NULL))
);
