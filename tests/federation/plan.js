// Composes our schema with the other subgraph and prints the fetches of a query's plan as one line of JSON.
import { readFileSync } from 'node:fs';
import { env, exit } from 'node:process';
import { composeServices } from '@apollo/composition';
import { Supergraph, operationFromDocument } from '@apollo/federation-internals';
import { QueryPlanner } from '@apollo/query-planner';
import { parse } from 'graphql';

const read = (name) => readFileSync(name, 'utf8');
const composed = composeServices([
  { name: 'courses', url: 'http://courses/graphql', typeDefs: parse(read(env.SCHEMA)) },
  { name: 'others', url: 'http://others/graphql', typeDefs: parse(read(env.OTHERS ?? 'others.graphql')) },
]);
if (composed.errors) {
  console.error(composed.errors.map(({ message }) => message).join('\n'));
  exit(1);
}

const supergraph = Supergraph.build(composed.supergraphSdl);
const operation = operationFromDocument(supergraph.apiSchema(), parse(read('query.graphql')));
const plan = new QueryPlanner(supergraph).buildQueryPlan(operation);

/** All fetches below a node of the plan. */
function fetches(node) {
  if (!node) return [];
  if (node.kind === 'Fetch') return [{ service: node.serviceName, query: node.operation }];
  return [...(node.nodes ?? []), ...(node.node ? [node.node] : [])].flatMap(fetches);
}
const api = supergraph.apiSchema();
const fields = api.schemaDefinition.rootType('query').fields().map(({ name }) => name);
console.log(JSON.stringify({ fields, fetches: fetches(plan.node) }));
