-- Read models of what other services report: users, assessments, videos, results. Nothing reads the shapes of module
-- items and enrollments before these any more.

DROP VIEW module_items_v1, enrollments_v2;
DROP TABLE module_items_v1_g1, enrollments_v2_g1;
DELETE FROM projections WHERE name IN ('module_items_v1', 'enrollments_v2');

INSERT INTO projections (name, generation, epoch, position, updated_at)
SELECT name, 1, 0, 0, clock_timestamp()
FROM unnest(ARRAY['module_items_v2', 'enrollments_v3', 'assessments_v1', 'users_v1']) AS name;

CREATE TABLE module_items_v2_g1 (
    module_id     text    COLLATE "C" NOT NULL,
    item_id       text    COLLATE "C" NOT NULL,
    course_id     text    COLLATE "C" NOT NULL,
    kind          text    COLLATE "C" NOT NULL,
    title         text    NOT NULL,
    required      boolean NOT NULL,
    position      integer NOT NULL,
    state         text    COLLATE "C" NOT NULL,
    url           text,
    video_id      text,
    assessment_id text,
    -- What became of the video; null while that is not known.
    video         jsonb,
    PRIMARY KEY (module_id, item_id)
);
CREATE INDEX module_items_v2_g1_item ON module_items_v2_g1 (item_id);
CREATE VIEW module_items_v2 AS SELECT * FROM module_items_v2_g1;

CREATE TABLE enrollments_v3_g1 (
    enrollment_id     text        COLLATE "C" PRIMARY KEY,
    course_id         text        COLLATE "C" NOT NULL,
    student_id        text        COLLATE "C" NOT NULL,
    status            text        COLLATE "C" NOT NULL,
    version           bigint      NOT NULL,
    requested_at      timestamptz NOT NULL,
    enrolled_at       timestamptz,
    withdrawn_at      timestamptz,
    completed_at      timestamptz,
    -- Where the student joined the waitlist: the order of the waitlist.
    waitlisted_from   bigint,
    -- The items that the student is done with, also those that the course no longer has, sorted.
    completed         text[]      NOT NULL,
    item_completed_at timestamptz,
    -- By assessment: the submissions with their times, the highest attempt that was reported, the newest grade as it was
    -- reported. What it comes to depends on the assessments, and is computed when it is read.
    results           jsonb       NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX enrollments_v3_g1_course_student ON enrollments_v3_g1 (course_id, student_id);
CREATE INDEX enrollments_v3_g1_waitlist ON enrollments_v3_g1 (course_id, waitlisted_from) WHERE status = 'WAITLISTED';
CREATE INDEX enrollments_v3_g1_requested ON enrollments_v3_g1 (requested_at, enrollment_id);
CREATE INDEX enrollments_v3_g1_course ON enrollments_v3_g1 (course_id, requested_at, enrollment_id);
CREATE INDEX enrollments_v3_g1_student ON enrollments_v3_g1 (student_id, requested_at, enrollment_id);
CREATE VIEW enrollments_v3 AS SELECT * FROM enrollments_v3_g1;

CREATE TABLE assessments_v1_g1 (
    course_id     text             COLLATE "C" NOT NULL,
    assessment_id text             COLLATE "C" NOT NULL,
    -- The module that is to show it, whether the course has that or not.
    module_id     text             COLLATE "C",
    title         text             NOT NULL,
    kind          text,
    max_score     double precision NOT NULL,
    weight        double precision NOT NULL,
    due_at        timestamptz,
    required      boolean          NOT NULL,
    PRIMARY KEY (course_id, assessment_id)
);
CREATE INDEX assessments_v1_g1_assessment ON assessments_v1_g1 (assessment_id);
CREATE VIEW assessments_v1 AS SELECT * FROM assessments_v1_g1;

-- The collation of user_id is that of subject_keys, which it is joined with.
CREATE TABLE users_v1_g1 (
    user_id      text    PRIMARY KEY,
    -- Sealed, as in the log.
    display_name text,
    email        text,
    role         text,
    active       boolean NOT NULL
);
CREATE VIEW users_v1 AS SELECT * FROM users_v1_g1;
