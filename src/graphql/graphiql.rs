//! `GraphiQL`, served from our own files: no request of the page leaves this host.

/// What the page may do: its own scripts and this host's API, nothing else. Its editor sets styles
/// on elements, hence `unsafe-inline` for those; its fonts are `data:` URLs in the style sheet.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; font-src data:; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page itself, for a browser that asks for `/graphql`.
pub(crate) const PAGE: &str = include_str!("graphiql/index.html");

/// What `/graphiql/{name}` holds: its content type and its bytes; `None` for any other name.
pub(crate) fn asset(name: &str) -> Option<(&'static str, &'static [u8])> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const STYLE: &str = "text/css; charset=utf-8";
    const TEXT: &str = "text/plain; charset=utf-8";
    Some(match name {
        "app.css" => (STYLE, include_bytes!("graphiql/app.css")),
        "app.js" => (SCRIPT, include_bytes!("graphiql/app.js")),
        "graphiql.min.css" => (STYLE, include_bytes!("graphiql/graphiql.min.css")),
        "graphiql.min.js" => (SCRIPT, include_bytes!("graphiql/graphiql.min.js")),
        "react.production.min.js" => (SCRIPT, include_bytes!("graphiql/react.production.min.js")),
        "react-dom.production.min.js" => {
            (SCRIPT, include_bytes!("graphiql/react-dom.production.min.js"))
        }
        "LICENSE-bundled.txt" => (TEXT, include_bytes!("graphiql/LICENSE-bundled.txt")),
        "LICENSE-graphiql.txt" => (TEXT, include_bytes!("graphiql/LICENSE-graphiql.txt")),
        "LICENSE-react.txt" => (TEXT, include_bytes!("graphiql/LICENSE-react.txt")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_but_our_files() {
        let asked = PAGE.split(['"', '\'']).filter_map(|text| text.strip_prefix("graphiql/"));
        let asked: Vec<_> = asked.collect();
        assert_eq!(asked.len(), 6);
        for name in asked {
            assert!(asset(name).is_some(), "{name}");
        }
        assert!(!PAGE.contains("//"), "the page names another host");
        assert!(!PAGE.contains("<script>"), "the policy forbids inline scripts");
        assert_eq!(asset("../index.html"), None);
    }
}
