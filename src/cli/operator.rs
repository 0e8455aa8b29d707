//! Who sits at the command line, for what is recorded of what they did.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// `cli:` and the name of the user whose process this is, else their number; `cli` where not even that is known.
pub(super) fn operator() -> String {
    // The owner of a process's folder is the process's user. Elsewhere than on Linux there is none.
    let Ok(process) = fs::metadata("/proc/self") else { return "cli".to_owned() };
    let id = process.uid();
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(id, &known) {
        Some(name) => format!("cli:{name}"),
        None => format!("cli:{id}"),
    }
}

fn name_of(id: u32, known: &str) -> Option<&str> {
    known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(id) && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let known = "root:x:0:0:root:/:/bin/sh\n\nbroken\nada:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_of(0, known), Some("root"));
        assert_eq!(name_of(1000, known), Some("ada"));
        assert_eq!(name_of(100, known), None);
    }
}
