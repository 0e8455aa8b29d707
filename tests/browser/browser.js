// Uses GraphiQL as a person does, in a real browser, and prints what it saw as one line of JSON.
import { env } from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';

const PATIENCE_MS = 20_000;
const WINDOW = { width: 1280, height: 760 };
const QUERY = '.graphiql-query-editor';
const TOOL = '.graphiql-editor-tool .graphiql-editor:not(.hidden)';

const CREATE = `mutation Create($input: CreateCourseInput!) {
  createCourse(input: $input) {
    course {
      code
      status
    }
    position
    userErrors {
      code
    }
  }
}`;
const input = { code: 'RUST-101', title: 'Rust', capacity: 30, publish: true };

const catalogue = (position) => `query Catalogue {
  courses(first: 5, minPosition: "${position}") {
    nodes {
      code
      title
      status
      seats {
        capacity
        available
      }
      instructors {
        id
      }
    }
  }
}`;

/** Asks again until the answer is something. */
async function eventually(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what()}`);
    await pause(50);
  }
}

/** Collects what the page asks for and what it complains about. */
async function watch(page) {
  const seen = { requests: [], complaints: [] };
  page.on('request', (request) => seen.requests.push(request.url().slice(0, 200)));
  page.on('requestfailed', (request) => seen.complaints.push(`failed: ${request.url()}`));
  page.on('pageerror', (error) => seen.complaints.push(`uncaught: ${error.message}`));
  page.on('console', (message) => {
    if (['error', 'assert'].includes(message.type())) seen.complaints.push(message.text());
  });
  await page.exposeFunction('violated', (directive) => seen.complaints.push(`policy: ${directive}`));
  await page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      window.violated(`${event.effectiveDirective} ${event.blockedURI}`),
    );
  });
  return seen;
}

/** Replaces the text of an editor, as by hand. */
async function write(page, editor, text) {
  await page.click(`${editor} .CodeMirror`);
  await page.keyboard.down('Control');
  await page.keyboard.press('A');
  await page.keyboard.up('Control');
  await page.keyboard.press('Backspace');
  await page.keyboard.sendCharacter(text);
}

const read = (page, editor) =>
  page.evaluate((at) => document.querySelector(`${at} .CodeMirror`)?.CodeMirror.getValue(), editor);

/** Replaces the query, and waits until GraphiQL has read the name of the operation in it. */
async function ask(page, query, name) {
  await write(page, QUERY, query);
  const known = (at) => document.querySelector(`${at} .CodeMirror`).CodeMirror.operationName;
  await eventually(
    () => `the operation ${name}`,
    async () => (await page.evaluate(known, QUERY)) === name,
  );
}

/** Runs what the editor holds and answers the result that then shows. */
async function run(page, expected) {
  await page.click('.graphiql-execute-button');
  let text;
  return eventually(
    () => `a result with ${expected}, only ${text}`,
    async () => {
      text = await read(page, '.result-window');
      return text?.includes(expected) ? JSON.parse(text) : undefined;
    },
  );
}

async function use(page) {
  await page.setViewport(WINDOW);
  await page.goto(env.URL);
  await page.waitForSelector(`${QUERY} .CodeMirror`, { timeout: PATIENCE_MS });

  await page.click('button[aria-label="Show Documentation Explorer"]');
  const docs = () => page.$eval('.graphiql-doc-explorer', (element) => element.innerText);
  await eventually(() => 'the root types', async () => (await docs()).includes('query: Query'));
  await page.click('.graphiql-doc-explorer-content a.graphiql-doc-explorer-type-name');
  const explained = await eventually(() => 'the fields of Query', async () => {
    const text = await docs();
    return text.includes('courses(') ? text : undefined;
  });
  await page.click('button[aria-label="Hide Documentation Explorer"]');

  const empty = await run(page, '"courses"');

  await ask(page, CREATE, 'Create');
  await page.click('button[data-name="variables"]');
  await write(page, TOOL, JSON.stringify({ input }, null, 2));
  const refused = await run(page, 'UNAUTHENTICATED');
  await page.click('button[data-name="headers"]');
  const header = JSON.stringify({ Authorization: `Bearer ${env.TOKEN}` }, null, 2);
  await write(page, TOOL, header);
  const created = await run(page, '"createCourse"');

  await ask(page, catalogue(created.data.createCourse.position), 'Catalogue');
  const found = await run(page, '"nodes"');
  if (env.SCREENSHOT) await page.screenshot({ path: env.SCREENSHOT });
  return { explained, empty, refused, created, found };
}

const browser = await puppeteer.launch({
  executablePath: env.CHROMIUM,
  // Without userDataDir the profile is a new one, removed at the end.
  args: [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
  protocolTimeout: PATIENCE_MS,
});
try {
  const page = await browser.newPage();
  const seen = await watch(page);
  console.log(JSON.stringify({ ...(await use(page)), ...seen }));
} finally {
  await browser.close();
}
