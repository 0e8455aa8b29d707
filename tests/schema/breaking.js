// Names what in schema.graphql breaks clients of the last release, and fails unless the version allows it.
//
// `released.graphql` is the schema of the last release, under a first line with its version. A release
// writes it with `npm run released`, once CHANGELOG.md and Cargo.toml have the new version.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv, env, exit } from 'node:process';
import { fileURLToPath } from 'node:url';
import { buildSchema, findBreakingChanges, findDangerousChanges } from 'graphql';

/** What changed between two schemas: what breaks clients, and what may surprise them. */
export function changes(released, schema) {
  // Directives of other specifications need no definition here.
  const [old, fresh] = [released, schema].map((sdl) => buildSchema(sdl, { assumeValidSDL: true }));
  const text = ({ type, description }) => `${type}: ${description}`;
  return {
    breaking: findBreakingChanges(old, fresh).map(text),
    dangerous: findDangerousChanges(old, fresh).map(text),
  };
}

/** Whether Semantic Versioning lets the second version break what the first one promised. */
export function mayBreak(from, to) {
  const [[major, minor], [nextMajor, nextMinor]] = [from, to].map((v) => v.split('.').map(Number));
  return nextMajor > major || (major === 0 && nextMajor === 0 && nextMinor > minor);
}

/** The version of the last release, as the changelog tells; undefined before the first. */
export const lastRelease = (changelog) => /^## \[(\d+\.\d+\.\d+)\]/m.exec(changelog)?.[1];

/** The version that a baseline is of. */
const versionOf = (baseline) => /^# (\d+\.\d+\.\d+)\n/.exec(baseline)?.[1];

/** Compares the schema with the last release: what to say, and whether that is an error. */
export function check({ baseline, schema, version }) {
  if (baseline === undefined) return { failed: false, lines: ['nothing is released yet'] };
  const released = versionOf(baseline);
  if (!released) return { failed: true, lines: ['released.graphql does not begin with a version'] };
  const { breaking, dangerous } = changes(baseline, schema);
  const failed = breaking.length > 0 && !mayBreak(released, version);
  const lines = [
    ...breaking.map((change) => `breaking   ${change}`),
    ...dangerous.map((change) => `dangerous  ${change}`),
    `${breaking.length} breaking changes since ${released}; the next version is ${version}`,
  ];
  if (failed) lines.push('undo them, or set a version in Cargo.toml that may break: see CHANGELOG.md');
  return { failed, lines };
}

/** Whether the baseline is that of the last release: a complaint, or nothing. */
export function stale({ baseline, changelog }) {
  const [expected, found] = [lastRelease(changelog), baseline && versionOf(baseline)];
  if (expected === found) return undefined;
  return `released.graphql is of ${found ?? 'no release'}, the changelog's last is ${expected ?? 'none'}`;
}

function main(write) {
  const root = env.ROOT ?? '../..';
  const read = (name) => (existsSync(join(root, name)) ? readFileSync(join(root, name), 'utf8') : undefined);
  const at = 'tests/schema/released.graphql';
  const [baseline, schema, changelog] = [read(at), read('schema.graphql'), read('CHANGELOG.md')];
  const version = /^version = "([^"]+)"/m.exec(read('Cargo.toml'))[1];
  const { failed, lines } = check({ baseline, schema, version });
  const complaint = write ? undefined : stale({ baseline, changelog });
  console.log([...lines, ...(complaint ? [complaint] : [])].join('\n'));
  if (failed || complaint) return 1;
  if (write) writeFileSync(join(root, at), `# ${version}\n${schema}`);
  return 0;
}

if (argv[1] === fileURLToPath(import.meta.url)) exit(main(argv[2] === 'write'));
