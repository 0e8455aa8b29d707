-- Read models of the second shape: the seats of a course stand in its row, modules are removed and reordered, and
-- module items and progress are new. Nothing reads the first shapes any more.

DROP VIEW courses_v1, modules_v1, seats_v1, enrollments_v1;
DROP TABLE courses_v1_g1, modules_v1_g1, seats_v1_g1, enrollments_v1_g1;
DELETE FROM projections WHERE name IN ('courses_v1', 'modules_v1', 'seats_v1', 'enrollments_v1');

INSERT INTO projections (name, generation, epoch, position, updated_at)
SELECT name, 1, 0, 0, clock_timestamp()
FROM unnest(ARRAY['courses_v2', 'modules_v2', 'module_items_v1', 'enrollments_v2']) AS name;

-- What a search finds a course by. A code is found whole and by its parts. The result depends on the arguments alone:
-- array_to_string of texts is called stable only because of other types.
CREATE FUNCTION course_search(code text, title text, tags text[], description text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN setweight(to_tsvector('simple'::regconfig,
                             lower((code || ' ' || translate(code, '._-', '   ')) COLLATE "und-x-icu")), 'A')
    || setweight(to_tsvector('simple'::regconfig, lower(title COLLATE "und-x-icu")), 'A')
    || setweight(to_tsvector('simple'::regconfig, lower(array_to_string(tags, ' ; ') COLLATE "und-x-icu")), 'B')
    || setweight(to_tsvector('simple'::regconfig, lower(coalesce(description, '') COLLATE "und-x-icu")), 'C');

CREATE TABLE courses_v2_g1 (
    course_id            text        COLLATE "C" PRIMARY KEY,
    code                 text        COLLATE "C" NOT NULL,
    title                text        COLLATE "und-x-icu" NOT NULL,
    description          text,
    status               text        COLLATE "C" NOT NULL,
    version              bigint      NOT NULL,
    instructor_ids       text[]      NOT NULL,
    capacity             integer,
    starts_at            timestamptz,
    ends_at              timestamptz,
    enrollment_opens_at  timestamptz,
    enrollment_closes_at timestamptz,
    tags                 text[]      NOT NULL,
    passing_score        double precision,
    taken                integer     NOT NULL,
    waitlisted           integer     NOT NULL,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    search               tsvector    NOT NULL GENERATED ALWAYS AS (course_search(code, title, tags, description)) STORED
) WITH (fillfactor = 80);
-- A list reads the courses of each status in its order and merges them: one index an order.
CREATE INDEX courses_v2_g1_created ON courses_v2_g1 (status, created_at, course_id);
CREATE INDEX courses_v2_g1_updated ON courses_v2_g1 (status, updated_at, course_id);
CREATE INDEX courses_v2_g1_title ON courses_v2_g1 (status, title, course_id);
CREATE INDEX courses_v2_g1_code ON courses_v2_g1 (status, lower(code), course_id);
CREATE INDEX courses_v2_g1_starts ON courses_v2_g1 (status, coalesce(starts_at, 'infinity'), course_id);
CREATE INDEX courses_v2_g1_taken ON courses_v2_g1 (status, taken, course_id);
CREATE INDEX courses_v2_g1_instructors ON courses_v2_g1 USING gin (instructor_ids);
CREATE INDEX courses_v2_g1_tags ON courses_v2_g1 USING gin (tags);
CREATE INDEX courses_v2_g1_search ON courses_v2_g1 USING gin (search);
CREATE INDEX courses_v2_g1_by_code ON courses_v2_g1 (lower(code)) WHERE status <> 'DELETED';
CREATE VIEW courses_v2 AS SELECT * FROM courses_v2_g1;

CREATE TABLE modules_v2_g1 (
    course_id  text        COLLATE "C" NOT NULL,
    module_id  text        COLLATE "C" NOT NULL,
    title      text        NOT NULL,
    summary    text,
    position   integer     NOT NULL,
    state      text        COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (course_id, module_id)
);
CREATE INDEX modules_v2_g1_position ON modules_v2_g1 (course_id, position);
CREATE INDEX modules_v2_g1_module ON modules_v2_g1 (module_id);
CREATE VIEW modules_v2 AS SELECT * FROM modules_v2_g1;

CREATE TABLE module_items_v1_g1 (
    module_id     text    COLLATE "C" NOT NULL,
    item_id       text    COLLATE "C" NOT NULL,
    kind          text    COLLATE "C" NOT NULL,
    title         text    NOT NULL,
    required      boolean NOT NULL,
    position      integer NOT NULL,
    state         text    COLLATE "C" NOT NULL,
    url           text,
    video_id      text,
    assessment_id text,
    PRIMARY KEY (module_id, item_id)
);
CREATE INDEX module_items_v1_g1_item ON module_items_v1_g1 (item_id);
CREATE VIEW module_items_v1 AS SELECT * FROM module_items_v1_g1;

CREATE TABLE enrollments_v2_g1 (
    enrollment_id    text        COLLATE "C" PRIMARY KEY,
    course_id        text        COLLATE "C" NOT NULL,
    student_id       text        COLLATE "C" NOT NULL,
    status           text        COLLATE "C" NOT NULL,
    version          bigint      NOT NULL,
    requested_at     timestamptz NOT NULL,
    enrolled_at      timestamptz,
    withdrawn_at     timestamptz,
    -- Where the student joined the waitlist: the order of the waitlist.
    waitlisted_from  bigint,
    -- The items that the student is done with, also those that the course no longer has, sorted.
    completed        text[]      NOT NULL,
    last_activity_at timestamptz
);
CREATE UNIQUE INDEX enrollments_v2_g1_course_student ON enrollments_v2_g1 (course_id, student_id);
CREATE INDEX enrollments_v2_g1_waitlist ON enrollments_v2_g1 (course_id, waitlisted_from) WHERE status = 'WAITLISTED';
CREATE INDEX enrollments_v2_g1_requested ON enrollments_v2_g1 (requested_at, enrollment_id);
CREATE INDEX enrollments_v2_g1_course ON enrollments_v2_g1 (course_id, requested_at, enrollment_id);
CREATE INDEX enrollments_v2_g1_student ON enrollments_v2_g1 (student_id, requested_at, enrollment_id);
CREATE VIEW enrollments_v2 AS SELECT * FROM enrollments_v2_g1;
