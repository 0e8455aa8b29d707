// The check for breaking changes, on small schemas.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changes, check, mayBreak, stale } from './breaking.js';

const OLD = `
  type Query { course(id: ID): Course courses(status: Status): [Course!]! }
  type Course { id: ID! title: String! status: Status! }
  enum Status { DRAFT PUBLISHED }
  input Change { title: String }
  type Mutation { change(input: Change!): Course }
`;
const changed = (from, to) => {
  assert.ok(OLD.includes(from), from);
  return OLD.replace(from, to);
};

const BREAKING = [
  ['a removed field', ' title: String! status', ' status', /FIELD_REMOVED: .*Course\.title/],
  ['a removed enum value', 'DRAFT PUBLISHED', 'PUBLISHED', /VALUE_REMOVED_FROM_ENUM: .*DRAFT/],
  ['a new required argument', 'id: ID)', 'id: ID, at: Int!)', /REQUIRED_ARG_ADDED: .*at/],
  ['a field that may now be null', 'title: String!', 'title: String', /FIELD_CHANGED_KIND: .*title/],
  ['a new required input field', 'Change { title', 'Change { id: ID! title', /REQUIRED_INPUT_FIELD_ADDED/],
  ['an argument that became required', 'id: ID)', 'id: ID!)', /ARG_CHANGED_KIND: .*id/],
  ['a removed mutation', 'type Mutation { change(input: Change!): Course }', '', /TYPE_REMOVED: .*Mutation/],
  ['another type', 'title: String!', 'title: Int!', /FIELD_CHANGED_KIND: .*title/],
];
for (const [what, from, to, named] of BREAKING) {
  test(`${what} is named`, () => {
    const { breaking } = changes(OLD, changed(from, to));
    assert.ok(breaking.length >= 1 && breaking.some((change) => named.test(change)), breaking.join());
  });
}

const HARMLESS = [
  ['an added field', 'id: ID! title', 'id: ID! code: String! title'],
  ['an added optional argument', 'id: ID)', 'id: ID, at: Int)'],
  ['an added optional input field', 'Change { title', 'Change { code: String title'],
  ['a field that is never null any more', '): Course c', '): Course! c'],
];
for (const [what, from, to] of HARMLESS) {
  test(`${what} is not`, () => assert.deepEqual(changes(OLD, changed(from, to)).breaking, []));
}

test('a new enum value is told of, for clients that know them all', () => {
  const { breaking, dangerous } = changes(OLD, changed('DRAFT', 'DRAFT ARCHIVED'));
  assert.deepEqual(breaking, []);
  assert.match(dangerous.join(), /VALUE_ADDED_TO_ENUM: .*ARCHIVED/);
});

test('a version may break by Semantic Versioning', () => {
  const may = (from, to) => assert.equal(mayBreak(from, to), true, `${from} ${to}`);
  const not = (from, to) => assert.equal(mayBreak(from, to), false, `${from} ${to}`);
  may('0.1.0', '0.2.0');
  may('0.9.1', '0.10.0');
  may('0.1.0', '1.0.0');
  may('1.4.2', '2.0.0');
  not('0.1.0', '0.1.1');
  not('1.4.2', '1.5.0');
  not('1.4.2', '1.4.2');
  not('2.0.0', '1.9.0');
});

test('what breaks fails, unless the next version may break; it is named in any case', () => {
  const schema = changed(' title: String! status', ' status');
  const run = (version) => check({ baseline: `# 1.2.0\n${OLD}`, schema, version });
  assert.equal(run('1.3.0').failed, true);
  assert.equal(run('2.0.0').failed, false);
  for (const version of ['1.3.0', '2.0.0']) assert.match(run(version).lines[0], /^breaking .*Course\.title/);
  assert.equal(check({ baseline: `# 1.2.0\n${OLD}`, schema: OLD, version: '1.2.0' }).failed, false);
  assert.equal(check({ baseline: OLD, schema: OLD, version: '2.0.0' }).failed, true);
  assert.equal(check({ schema, version: '0.1.0' }).failed, false);
});

test('the baseline is of the last release that the changelog knows', () => {
  const before = '# Changelog\n\n## [Unreleased]\n\nThe first release.\n';
  const after = `${before}\n## [0.2.0] - 2026-12-01\n\n## [0.1.0] - 2026-11-01\n`;
  assert.equal(stale({ changelog: before }), undefined);
  assert.equal(stale({ changelog: after, baseline: `# 0.2.0\n${OLD}` }), undefined);
  assert.match(stale({ changelog: after, baseline: `# 0.1.0\n${OLD}` }), /of 0\.1\.0, .*last is 0\.2\.0/);
  assert.match(stale({ changelog: after }), /of no release, .*0\.2\.0/);
  assert.match(stale({ changelog: before, baseline: `# 0.1.0\n${OLD}` }), /of 0\.1\.0, .*none/);
});
