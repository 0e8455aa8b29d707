// Follows a course over graphql-ws as an app would: it reconnects to the next instance where one goes away, and goes on
// behind the last change that it has heard of. Ends after so many changes.
//
//     node follow.js URL,URL TOKEN COURSE POSITION COUNT
const { createClient } = require('graphql-ws');
const WebSocket = require('ws');

const [urls, token, courseId, position, count] = process.argv.slice(2);
const instances = urls.split(',');
let since = position;
let left = Number(count);
let attempt = 0;

const client = createClient({
  webSocketImpl: WebSocket,
  url: () => instances[attempt++ % instances.length],
  connectionParams: { authorization: `Bearer ${token}` },
  retryAttempts: 0,
  lazy: true,
  on: { closed: (event) => console.error(`closed with ${event.code}`) },
});

const query = `subscription($courseId: ID!, $since: String) {
  courseChanged(courseId: $courseId, sincePosition: $since) { kind position course { title version } }
}`;

async function follow() {
  const changes = client.iterate({ query, variables: { courseId, since } });
  for await (const { data, errors } of changes) {
    if (errors) throw new Error(JSON.stringify(errors));
    since = data.courseChanged.position;
    console.log(JSON.stringify(data.courseChanged));
    left -= 1;
    if (left === 0) return;
  }
}

(async () => {
  const deadline = Date.now() + 60_000;
  while (left > 0) {
    try {
      await follow();
    } catch (error) {
      console.error(`interrupted: ${error.message ?? error.reason ?? JSON.stringify(error)}`);
      if (Date.now() > deadline) process.exit(1);
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }
  await client.dispose();
  process.exit(0);
})();
