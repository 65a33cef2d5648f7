//! `oncelog.topic`: what a topic says of itself, in the directory of its partition 0.
//!
//! ```text
//!   oncelog.topic 1              name and version
//!   partitions=3                 partitions above were never finished
//!   retention.ms=86400000        only what was set, by Kafka's names
//!   crc 8 hex                    CRC-32 of all above
//! ```
//!
//! A name Kafka does not look at. Written beside and renamed, so a cut leaves the old file or the
//! new one. One that cannot be believed is no file: the topic then goes by the store's settings.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::config::TopicConfig;
use crate::disk::Directory;
use crate::segment::replace::{read_small, replace};

const FILE_NAME: &str = "oncelog.topic";
const TITLE: &str = "oncelog.topic 1";

/// The file's content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TopicFile {
    pub(super) partitions: u32,
    pub(super) config: TopicConfig,
}

impl TopicFile {
    /// Puts the file into `dir`.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`; after an error it is the old file or this one.
    pub(super) fn write(&self, directory: &dyn Directory, dir: &Path) -> io::Result<()> {
        replace(directory, dir, FILE_NAME, self.to_text().as_bytes())
    }

    /// Reads the file in `dir`; `None` if there is none, or why the one there is not believed.
    pub(super) fn read(directory: &dyn Directory, dir: &Path) -> Result<Option<Self>, String> {
        let path = dir.join(FILE_NAME);
        let void = |why: &str| {
            format!("{}: {why}; the topic goes by the store's settings", path.display())
        };
        let bytes = read_small(directory, &path).map_err(|error| void(&error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| void(&error.to_string()))?;
        Self::parse(&text).map(Some).map_err(|why| void(&why))
    }

    fn to_text(self) -> String {
        let mut text = format!("{TITLE}\npartitions={}\n", self.partitions);
        for (name, value) in self.config.entries() {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{name}={value}");
        }
        let sum = crc32fast::hash(text.as_bytes());
        text + &format!("crc {sum:08x}\n")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (summed, sum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once("\ncrc "))
            .ok_or("its end is missing")?;
        if text.get(..=summed.len()).map(|text| crc32fast::hash(text.as_bytes()))
            != u32::from_str_radix(sum, 16).ok()
        {
            return Err("its checksum is wrong".to_owned());
        }
        let mut lines = summed.split('\n');
        if lines.next() != Some(TITLE) {
            return Err("it is of another version".to_owned());
        }
        let partitions = lines
            .next()
            .and_then(|line| line.strip_prefix("partitions=")?.parse().ok())
            .ok_or("it does not say how many partitions the topic has")?;
        let mut config = TopicConfig::new();
        for line in lines {
            line.split_once('=')
                .and_then(|(name, value)| config.set(name, value.parse().ok()?))
                .ok_or_else(|| format!("{line:?} is not a setting of this version"))?;
        }
        Ok(Self { partitions, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> TopicFile {
        let config = TopicConfig::new().segment_bytes_max(8192).retention_unlimited();
        TopicFile { partitions: 3, config }
    }

    #[test]
    fn a_topic_file_reads_back() {
        for file in [file(), TopicFile { partitions: 1, config: TopicConfig::new() }] {
            assert_eq!(TopicFile::parse(&file.to_text()), Ok(file));
        }
    }

    #[test]
    fn a_topic_file_with_any_byte_changed_or_cut_off_is_not_believed() {
        let text = file().to_text().into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            // Two spellings of one sum say the same.
            if !changed.eq_ignore_ascii_case(&file().to_text()) {
                assert!(TopicFile::parse(&changed).is_err(), "byte {index}");
            }
            let cut = String::from_utf8(text[..index].to_vec()).unwrap();
            assert!(TopicFile::parse(&cut).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_setting_of_a_later_version_is_named() {
        let text = "oncelog.topic 1\npartitions=1\nfrom.the.future=1\n";
        let text = format!("{text}crc {:08x}\n", crc32fast::hash(text.as_bytes()));
        assert!(TopicFile::parse(&text).unwrap_err().contains("from.the.future"));
    }
}
