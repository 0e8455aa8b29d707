// A morning at the school: an instructor sets up courses, a student enrolls. It prints what it did.
import { env } from 'node:process';
import { Client, Refused, RequestFailed, done, given } from './client.js';
import * as operations from './generated.js';

const say = (line: string) => console.log(line);
const { COURSE_SERVICE_URL: url, INSTRUCTOR_TOKEN: ada, STUDENT_TOKEN: sam } = env;
if (!url || !ada || !sam) throw new Error('set COURSE_SERVICE_URL, INSTRUCTOR_TOKEN and STUDENT_TOKEN');
const instructor = new Client(url, ada, say);
const student = new Client(url, sam, say);

/** Creates a course with one module and publishes it. */
async function offer(code: string, title: string, module: string) {
  const input = { code, title, capacity: 20, tags: ['example'] };
  const created = await instructor.mutate(operations.CreateCourseDocument, input);
  const course = given(done(created.createCourse).course);
  say(`created ${course.code}, ${course.status}, version ${course.version}`);

  const added = await instructor.mutate(operations.AddModuleDocument, {
    courseId: course.id,
    title: module,
  });
  const { title: of, position } = given(done(added.addModule).module);
  say(`added module ${position}: ${of}`);

  const published = await instructor.mutate(operations.PublishCourseDocument, {
    courseId: course.id,
    expectedVersion: course.version + 1, // the module was one change
  });
  const payload = done(published.publishCourse);
  say(`published ${given(payload.course).code}, ${given(payload.course).status}`);
  return { id: course.id, position: given(payload.position) };
}

/** Reads all courses, two at a time, as they are from this position on. */
async function list(minPosition: string) {
  let after: string | null = null;
  for (let page = 1; ; page += 1) {
    const variables: operations.CoursesQueryVariables = { first: 2, after, minPosition };
    const { courses } = await student.query(operations.CoursesDocument, variables);
    const line = courses.nodes.map(
      ({ code, title, modules }) => `${code} ${title} (${modules.nodes.map((m) => m.title).join()})`,
    );
    say(`page ${page}: ${line.join(', ')}`);
    if (!courses.pageInfo.hasNextPage) return;
    after = courses.pageInfo.endCursor ?? null;
  }
}

async function enroll(courseId: string) {
  try {
    const { enrollStudent } = await student.mutate(operations.EnrollStudentDocument, { courseId });
    const enrollment = given(done(enrollStudent).enrollment);
    say(`enrolled ${enrollment.student.id}, ${enrollment.status}`);
  } catch (error) {
    // A refusal is an answer; anything else is not for us to handle.
    if (!(error instanceof Refused)) throw error;
    say(`refused with ${error.code}: ${error.message}`);
  }
}

await offer('RUST-101', 'Rust', 'Ownership');
await offer('ALGEBRA-1', 'Linear algebra', 'Vectors');
const { id, position } = await offer('LOGIC-1', 'Logic', 'Propositions');
await list(position);
await enroll(id);
await enroll(id);

try {
  await new Client(url, 'no such token', say).query(operations.CoursesDocument, { first: 1 });
} catch (error) {
  if (!(error instanceof RequestFailed)) throw error;
  say(`failed with ${error.code}: ${error.message}`);
}
