-- Read models. Tables are named by shape and generation, with a view by shape in front: readers know only the view.
-- They hold nothing that the log does not: each can be dropped and built again.

CREATE TABLE projections (
    name       text        PRIMARY KEY,
    generation integer     NOT NULL,
    epoch      integer     NOT NULL,
    position   bigint      NOT NULL,
    updated_at timestamptz NOT NULL
);

INSERT INTO projections (name, generation, epoch, position, updated_at)
SELECT name, 1, 0, 0, clock_timestamp() FROM unnest(ARRAY['courses_v1', 'modules_v1', 'seats_v1', 'enrollments_v1']) AS name;

CREATE TABLE courses_v1_g1 (
    course_id            text        PRIMARY KEY,
    code                 text        NOT NULL,
    title                text        NOT NULL,
    description          text,
    status               text        NOT NULL,
    version              bigint      NOT NULL,
    instructor_ids       text[]      NOT NULL,
    capacity             integer,
    starts_at            timestamptz,
    ends_at              timestamptz,
    enrollment_opens_at  timestamptz,
    enrollment_closes_at timestamptz,
    tags                 text[]      NOT NULL,
    passing_score        double precision,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL
);
CREATE INDEX courses_v1_g1_created ON courses_v1_g1 (created_at, course_id);
CREATE INDEX courses_v1_g1_code ON courses_v1_g1 (lower(code)) WHERE status <> 'DELETED';
CREATE VIEW courses_v1 AS SELECT * FROM courses_v1_g1;

CREATE TABLE modules_v1_g1 (
    course_id  text        NOT NULL,
    module_id  text        NOT NULL,
    title      text        NOT NULL,
    summary    text,
    position   integer     NOT NULL,
    state      text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (course_id, module_id)
);
CREATE INDEX modules_v1_g1_module ON modules_v1_g1 (module_id);
CREATE VIEW modules_v1 AS SELECT * FROM modules_v1_g1;

CREATE TABLE seats_v1_g1 (
    course_id  text    PRIMARY KEY,
    open       boolean NOT NULL,
    capacity   integer,
    taken      integer NOT NULL,
    waitlisted integer NOT NULL
) WITH (fillfactor = 70);
CREATE VIEW seats_v1 AS SELECT * FROM seats_v1_g1;

CREATE TABLE enrollments_v1_g1 (
    enrollment_id   text        PRIMARY KEY,
    course_id       text        NOT NULL,
    student_id      text        NOT NULL,
    status          text        NOT NULL,
    version         bigint      NOT NULL,
    requested_at    timestamptz NOT NULL,
    enrolled_at     timestamptz,
    withdrawn_at    timestamptz,
    -- Where the student joined the waitlist: the order of the waitlist.
    waitlisted_from bigint
);
CREATE UNIQUE INDEX enrollments_v1_g1_course_student ON enrollments_v1_g1 (course_id, student_id);
CREATE INDEX enrollments_v1_g1_waitlist ON enrollments_v1_g1 (course_id, waitlisted_from) WHERE status = 'WAITLISTED';
CREATE VIEW enrollments_v1 AS SELECT * FROM enrollments_v1_g1;
