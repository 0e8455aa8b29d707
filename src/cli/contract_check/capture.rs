//! Messages that somebody captured in files.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::kafka::topics::InboundTopic;

/// Stands beside examples of this project, and is none itself.
const EXPECTED: &str = "expected";
/// Of files that may be named after their topic.
const EXTENSIONS: [&str; 2] = ["json", "jsonl"];

/// The files of a folder, in the order of their paths.
pub(super) struct Capture {
    pub(super) files: Vec<CapturedFile>,
    /// Files that no topic can be told of.
    pub(super) of_no_topic: Vec<String>,
}

/// A file with messages of one topic.
pub(super) struct CapturedFile {
    pub(super) topic: InboundTopic,
    /// Its path below the folder.
    pub(super) shown: String,
    path: PathBuf,
}

/// A message, and the line of the file that it stands in where a file has several.
pub(super) struct Captured<'a> {
    pub(super) file: &'a CapturedFile,
    pub(super) line: Option<usize>,
    pub(super) value: Vec<u8>,
}

impl Capture {
    /// All files below `folder`, which may be a topic's own. Hidden ones, and links to folders, are not looked at.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut capture = Self { files: Vec::new(), of_no_topic: Vec::new() };
        let own = fs::canonicalize(folder)?;
        capture.collect(&own, &own, own.file_name().and_then(topic_of_folder))?;
        Ok(capture)
    }

    fn collect(
        &mut self,
        root: &Path,
        folder: &Path,
        topic: Option<InboundTopic>,
    ) -> io::Result<()> {
        let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type()?.is_dir() {
                self.collect(root, &path, topic_of_folder(&name).or(topic))?;
                continue;
            }
            if !path.is_file() || has_extension(&path, EXPECTED) {
                continue;
            }
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            match topic_of_file(&path).or(topic) {
                Some(topic) => self.files.push(CapturedFile { topic, shown, path }),
                None => self.of_no_topic.push(shown),
            }
        }
        Ok(())
    }
}

impl CapturedFile {
    /// Its messages: one, or of a file that ends in `.jsonl` one a line that is not blank.
    pub(super) fn messages(
        &self,
    ) -> io::Result<Box<dyn Iterator<Item = io::Result<Captured<'_>>> + '_>> {
        if !has_extension(&self.path, "jsonl") {
            let value = fs::read(&self.path)?;
            let message = Captured { file: self, line: None, value };
            return Ok(Box::new(std::iter::once(Ok(message))));
        }
        let lines = BufReader::new(File::open(&self.path)?).split(b'\n');
        let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        let numbered = lines.enumerate().map(|(index, line)| Ok((index + 1, line?)));
        let filled = numbered.filter(move |line: &io::Result<(usize, Vec<u8>)>| {
            line.as_ref().map_or(true, |(_, value)| !is_blank(value))
        });
        Ok(Box::new(filled.map(|line| {
            line.map(|(line, value)| Captured { file: self, line: Some(line), value })
        })))
    }
}

fn topic_of_folder(name: &OsStr) -> Option<InboundTopic> {
    name.to_str().and_then(InboundTopic::parse)
}

/// The topic of a file that is named after it, with anything between it and the extension.
fn topic_of_file(path: &Path) -> Option<InboundTopic> {
    if !EXTENSIONS.iter().any(|extension| has_extension(path, extension)) {
        return None;
    }
    InboundTopic::parse(path.file_name()?.to_str()?.split('.').next()?)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
