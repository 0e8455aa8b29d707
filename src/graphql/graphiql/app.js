'use strict';

// GraphiQL for this service: no inline script and no other host, so that a strict
// Content-Security-Policy can hold. Addresses are relative, so that a path prefix may come before
// them.
(() => {
  const api = new URL('graphql', document.baseURI);
  const subscriptions = new URL(api);
  subscriptions.protocol = api.protocol === 'https:' ? 'wss:' : 'ws:';

  const example = `# Published courses: no token needed.
#
# For the rest, put your token into the
# "Headers" tab below. It is forgotten
# with this page.
#
# Ctrl-Enter runs, Ctrl-Space completes.

query Catalogue {
  courses(first: 10) {
    edges {
      node {
        id
        code
        title
        status
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`;

  // Drops "Authorization: Bearer " without a token: a template is no credential.
  const usable = (headers) =>
    Object.fromEntries(
      Object.entries(headers ?? {}).filter(([, value]) => !/^\s*(bearer\s*)?$/i.test(value)),
    );

  // Over WebSocket the headers travel in connection_init, since browsers let pages set none there.
  const overBoth = GraphiQL.createFetcher({ url: api.href, subscriptionUrl: subscriptions.href });
  const fetcher = (params, options = {}) =>
    overBoth(params, { ...options, headers: usable(options.headers) });

  // What GraphiQL keeps between visits. Its history holds the headers of every query, whatever
  // shouldPersistHeaders says: they are taken out, so that no token outlives the page.
  const withoutHeaders = (key, value) => (key === 'headers' || key === 'hash' ? undefined : value);
  const storage = {
    getItem: (name) => localStorage.getItem(name),
    removeItem: (name) => localStorage.removeItem(name),
    clear: () => localStorage.clear(),
    get length() {
      return localStorage.length;
    },
    setItem(name, value) {
      if (name === 'graphiql:headers') return;
      const structured = ['graphiql:queries', 'graphiql:favorites', 'graphiql:tabState'];
      const kept = structured.includes(name)
        ? JSON.stringify(JSON.parse(value, withoutHeaders))
        : value;
      localStorage.setItem(name, kept);
    },
  };

  ReactDOM.createRoot(document.getElementById('graphiql')).render(
    React.createElement(GraphiQL, {
      fetcher,
      storage,
      defaultQuery: example,
      defaultHeaders: '{"Authorization": "Bearer "}',
      defaultEditorToolsVisibility: 'headers',
      isHeadersEditorEnabled: true,
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
      inputValueDeprecation: true,
    }),
  );
})();
