// Holds a schema to the rules of graphql-eslint. Where a rule is not as recommended, it says why.
import { resolve } from 'node:path';
import graphql from '@graphql-eslint/eslint-plugin';

const schema = resolve(process.env.SCHEMA ?? '../../schema.graphql');

export default [
  {
    files: ['**/*.graphql'],
    plugins: { '@graphql-eslint': graphql },
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema } },
    },
    rules: {
      ...graphql.configs['flat/schema-recommended'].rules,
      ...graphql.configs['flat/schema-relay'].rules,

      // Recommended for types and root fields; here for everything that can have one.
      '@graphql-eslint/require-description': [
        'error',
        {
          types: true,
          DirectiveDefinition: true,
          EnumValueDefinition: true,
          FieldDefinition: true,
          InputValueDefinition: true,
          // Those of GraphQL itself: the specification explains them.
          ignoredSelectors: [
            'DirectiveDefinition[name.value=/^(include|skip|specifiedBy)$/] InputValueDefinition',
          ],
        },
      ],

      // Values: they have no identity. Everything else has an id.
      '@graphql-eslint/strict-id-in-types': [
        'error',
        {
          exceptions: {
            suffixes: ['Connection', 'Edge', 'Payload'],
            types: [
              'AssessmentResult',
              'CourseChange',
              'CoursePermissions',
              'DateRange',
              'EnrollmentChange',
              'PageInfo',
              'Progress',
              'Seats',
              'UserError',
              'VideoRendition',
            ],
          },
        },
      ],

      // A few short lists are no connections: tags, instructors, userErrors.
      '@graphql-eslint/relay-edge-types': [
        'error',
        { withEdgeSuffix: true, shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false },
      ],
    },
  },
];
