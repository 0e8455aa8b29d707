//! In which type to answer: content negotiation by RFC 9110, section 12.5.1.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A type that an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The type of this specification: its status tells whether the request was executed.
    GraphqlResponse,
    /// The type of old: every well-formed request is 200.
    Json,
    /// `GraphiQL`, for a browser.
    Page,
}

impl Kind {
    /// What requests with an operation are answered in.
    pub(super) const ANSWERS: &[Self] = &[Self::GraphqlResponse, Self::Json];
    /// What GET may be answered in.
    pub(super) const ALL: &[Self] = &[Self::GraphqlResponse, Self::Json, Self::Page];

    /// The value of `content-type`.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Page => "text/html; charset=utf-8",
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::GraphqlResponse => ("application", "graphql-response+json"),
            Self::Json => ("application", "json"),
            Self::Page => ("text", "html"),
        }
    }
}

/// The type, of those on offer, that the client likes best; none where it takes none of them. Without a wish, and
/// among equals behind a `*`, JSON is what old clients understand; among equals that are named, the new type wins,
/// and a page before both.
pub(super) fn negotiate(headers: &HeaderMap, offered: &[Kind]) -> Option<Kind> {
    let ranges: Vec<Range<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter(|range| !range.trim().is_empty())
        .map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return Some(Kind::Json);
    }
    let liked = offered.iter().filter_map(|kind| {
        // The most specific range that fits decides, however much a wider one likes it.
        let decisive = ranges.iter().filter_map(|range| Some((range.fits(*kind)?, range)));
        let (precision, range) =
            decisive.max_by_key(|(precision, range)| (*precision, range.quality))?;
        let named = precision == Precision::Named;
        let rank = match kind {
            Kind::Page if named => 2,
            Kind::Page => return None,
            Kind::GraphqlResponse => u8::from(named),
            Kind::Json => u8::from(!named),
        };
        (range.quality > 0).then_some(((range.quality, precision, rank), *kind))
    });
    liked.max_by_key(|(liking, _)| *liking).map(|(_, kind)| kind)
}

/// How precisely a range says what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Anything,
    Group,
    Named,
}

/// One entry of `Accept`.
struct Range<'a> {
    group: &'a str,
    name: &'a str,
    /// In thousandths; 0 for what is not wanted or not understood.
    quality: u16,
    /// Whether it is for our charset, UTF-8.
    utf8: bool,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let (group, name) =
            parts.next().and_then(|range| range.split_once('/')).unwrap_or_default();
        let mut range = Self { group, name, quality: 1_000, utf8: true };
        for (key, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim() {
                key if key.eq_ignore_ascii_case("q") => range.quality = quality(value),
                key if key.eq_ignore_ascii_case("charset") => {
                    range.utf8 = value.eq_ignore_ascii_case("utf-8");
                }
                _ => (),
            }
        }
        range
    }

    fn fits(&self, kind: Kind) -> Option<Precision> {
        let (group, name) = kind.names();
        if !self.utf8 {
            None
        } else if self.group == "*" && self.name == "*" {
            Some(Precision::Anything)
        } else if !self.group.eq_ignore_ascii_case(group) {
            None
        } else if self.name == "*" {
            Some(Precision::Group)
        } else {
            self.name.eq_ignore_ascii_case(name).then_some(Precision::Named)
        }
    }
}

/// A weight such as `0.85`, in thousandths.
fn quality(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if digits && part.bytes().all(|byte| byte == b'0') => 1_000,
        "0" if digits => format!("{part:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn liked(accept: &str, offered: &[Kind]) -> Option<Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        negotiate(&headers, offered)
    }

    #[test]
    fn the_most_specific_range_decides_then_the_weight() {
        let (new, old) = (Some(Kind::GraphqlResponse), Some(Kind::Json));
        for (accept, expected) in [
            ("", old),
            ("*/*", old),
            ("application/*", old),
            ("application/json", old),
            ("application/graphql-response+json", new),
            ("Application/GraphQL-Response+JSON", new),
            ("application/graphql-response+json, application/json;q=0.9", new),
            ("application/json, application/graphql-response+json", new),
            ("application/json, application/graphql-response+json;q=0.9", old),
            ("application/graphql-response+json;q=0.001, application/json;q=0", new),
            ("application/graphql-response+json, */*", new),
            ("application/graphql-response+json;q=0.5, */*", old),
            ("application/json;q=0, */*", new),
            ("application/json ; q = 0.2 , application/*;q=0.8", new),
            ("*/*;q=0.1, application/json;q=0.2", old),
            ("text/html, */*;q=0.1", old),
            ("multipart/mixed;deferSpec=20220824,application/json", old),
            ("application/json; charset=utf-8", old),
            ("application/json; charset=\"UTF-8\"", old),
            ("text/html", None),
            ("application/xml", None),
            ("nonsense", None),
            ("*/*;q=0", None),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("application/json;q=0.1234", None),
            ("application/json;q=nan", None),
            ("application/json;charset=iso-8859-1", None),
        ] {
            assert_eq!(liked(accept, Kind::ANSWERS), expected, "{accept}");
        }
    }

    #[test]
    fn without_the_header_anything_goes() {
        assert_eq!(negotiate(&HeaderMap::new(), Kind::ALL), Some(Kind::Json));
    }

    #[test]
    fn several_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, "text/html".parse().unwrap());
        headers.append(ACCEPT, "application/json".parse().unwrap());
        assert_eq!(negotiate(&headers, Kind::ANSWERS), Some(Kind::Json));
    }

    #[test]
    fn a_page_is_for_who_names_it() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, expected) in [
            (browser, Some(Kind::Page)),
            ("text/html", Some(Kind::Page)),
            ("text/html, application/json", Some(Kind::Page)),
            ("text/html;q=0.9, application/json", Some(Kind::Json)),
            ("*/*", Some(Kind::Json)),
            ("text/*", None),
        ] {
            assert_eq!(liked(accept, Kind::ALL), expected, "{accept}");
        }
    }
}
