//! The tokens of a document and how deep its brackets nest, counted before it is parsed.
//!
//! The parser calls itself for each bracket. What is counted here need not be GraphQL: where it is none, the parser
//! says so, and this must only never count less than the parser sees.

use super::Exceeded;

/// How deep brackets of any kind may nest. The parser follows fields to 64.
const MAX_BRACKETS: usize = 64;

/// Refuses a text that has too many tokens or nests too deep for the parser.
pub(in crate::graphql) fn check(text: &str, tokens: usize) -> Result<(), Exceeded> {
    let measured = measure(text);
    if measured.tokens > tokens {
        return Err(Exceeded::Tokens(tokens));
    }
    if measured.brackets > MAX_BRACKETS {
        return Err(Exceeded::Depth(MAX_BRACKETS));
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Measured {
    tokens: usize,
    /// How deep they nest.
    brackets: usize,
}

fn measure(text: &str) -> Measured {
    let bytes = text.as_bytes();
    let mut measured = Measured::default();
    let mut open = 0_usize;
    let mut at = 0;
    // Without it, each of many block strings without an end would search the rest of the text.
    let mut blocks_end = true;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let (length, is_token) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => (1, false),
            b'#' => (run(rest, |b| !matches!(b, b'\n' | b'\r')), false),
            _ if rest.starts_with("\u{feff}".as_bytes()) => (3, false),
            _ if rest.starts_with(b"...") => (3, true),
            b'"' => {
                let block = (blocks_end && rest.starts_with(b"\"\"\"")).then(|| block_string(rest));
                blocks_end &= block != Some(None);
                (block.flatten().unwrap_or_else(|| string(rest)), true)
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => (run(rest, is_of_name), true),
            b'-' | b'0'..=b'9' => {
                (1 + run(&rest[1..], |b| is_of_name(b) || matches!(b, b'.' | b'+' | b'-')), true)
            }
            b'{' | b'[' | b'(' => {
                open += 1;
                measured.brackets = measured.brackets.max(open);
                (1, true)
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                (1, true)
            }
            _ => (1, true),
        };
        measured.tokens += usize::from(is_token);
        at += length;
    }
    measured
}

fn is_of_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// How many bytes at the beginning are `lawful`.
fn run(bytes: &[u8], lawful: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !lawful(*byte)).unwrap_or(bytes.len())
}

/// The length of the block string at the beginning, where it ends.
fn block_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 3;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"\"\"\"") {
            return Some(at + 3);
        }
        at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
    }
    None
}

/// The length of the string at the beginning; 1 where it does not end in its line.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\n' | b'\r' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> usize {
        measure(text).tokens
    }

    fn brackets(text: &str) -> usize {
        measure(text).brackets
    }

    #[test]
    fn tokens_are_those_of_the_specification() {
        for (text, expected) in [
            ("", 0),
            (" \t\r\n,,,\u{feff}", 0),
            ("# { a } \" \n", 0),
            ("# a\rb", 1),
            ("{ a }", 3),
            ("{a b:c...F}", 8),
            ("query($x:[Int!]!=[1,-2.5e+3])@d{a}", 21),
            (r#"{a(b:"c d \" { e")}"#, 8),
            (r#"{a(b:"""c " d \""" { e""")}"#, 8),
            (r#"{a(b:"")}"#, 8),
            ("{a(b:$c){d}}", 12),
            ("a|b&c", 5),
            ("ü", 2),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn brackets_nest_outside_of_strings_and_comments() {
        for (text, expected) in [
            ("{a}{b}", 1),
            ("{a{b(c:[{d:1}])}}", 5),
            ("}}}{", 1),
            ("# {{{\n{a}", 1),
            (r#"{a(b:"{{{")}"#, 2),
            (r#"{a(b:"""{{{ \""" {{{""")}"#, 2),
        ] {
            assert_eq!(brackets(text), expected, "{text}");
        }
    }

    #[test]
    fn a_string_without_an_end_hides_nothing() {
        for text in ["\" {{{", "\"\"\" {{{", "\" \n {{{", "\"\"\" \" {{{", "\"\\"] {
            let hidden = text.matches('{').count();
            assert_eq!(brackets(text), hidden, "{text:?}");
        }
        // Each of these would search the rest of the text for its end.
        let text = "\"\"\"".to_owned() + &"\\\"\"\"".repeat(25_000);
        assert!(tokens(&text) > 25_000);
    }

    #[test]
    fn a_text_over_a_limit_is_refused() {
        assert_eq!(check("{ a }", 3), Ok(()));
        assert_eq!(check("{ a }", 2), Err(Exceeded::Tokens(2)));
        let nested = |depth| "{a".repeat(depth) + &"}".repeat(depth);
        assert_eq!(check(&nested(64), 5_000), Ok(()));
        assert_eq!(check(&nested(65), 5_000), Err(Exceeded::Depth(64)));
    }
}
