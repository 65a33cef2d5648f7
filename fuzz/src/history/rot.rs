//! Stored bytes that change behind the log's back.

use super::History;

impl History<'_> {
    pub(super) fn segments(&self) -> Vec<std::path::PathBuf> {
        let is_log = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "log");
        self.directory.files().into_iter().filter(is_log).collect()
    }

    pub(super) fn rot(&mut self, what: String) {
        self.rotten = true;
        self.rots += 1;
        self.note(what);
    }

    /// Cuts a few bytes off the last segment of a partition that is closed.
    pub(super) fn shorten(&mut self) {
        let Some(path) = self.segments().pop() else { return };
        let bytes = self.directory.read(&path).map_or(0, |bytes| bytes.len() as u64);
        if bytes > 0 {
            let left = bytes - 1 - self.chance.below(bytes.min(100));
            self.directory.shorten(&path, left);
            self.rot(format!("   shortens {} from {bytes} to {left}", path.display()));
            self.shortened = Some(path);
        }
    }

    pub(super) fn flip(&mut self, file: u64, at: u64, mask: u8) {
        let name_of = |path: &std::path::PathBuf| {
            path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
        };
        let mut files = self.segments();
        if file.is_multiple_of(4) {
            files = self.directory.files();
            files.retain(|path| !matches!(name_of(path).as_str(), ".lock" | "partition.metadata"));
        }
        let Some(path) = files.get((file % (files.len() as u64).max(1)) as usize).cloned() else {
            return;
        };
        let Some(bytes) = self.directory.read(&path).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let starts: Vec<u64> = log_core::format::Batches::new(&bytes)
            .map_while(Result::ok)
            .map(|placed| placed.position as u64)
            .collect();
        // Often aimed at a header's fields outside the checksum, which nothing else would meet.
        let at = match starts.get((at % (starts.len() as u64).max(1)) as usize) {
            Some(start) if at.is_multiple_of(2) => start + (at >> 32) % 17,
            _ => at % bytes.len() as u64,
        };
        if self.directory.flip(&path, at, mask) {
            // A byte out of the zeros behind the log is no torn write, and cut all the same.
            self.rots += u32::from(bytes.get(at as usize) == Some(&0));
            self.rot(format!("   flips byte {at} of {}", path.display()));
        }
    }

    /// Damages a file that only saves time: whatever is left of it, nothing that users see changes.
    pub(super) fn harm(&mut self, file: u64, at: u64) {
        let kinds = ["index", "timeindex", "txnindex", "seal", "checkpoint"];
        let mut files = self.directory.files();
        files.retain(|path| {
            path.extension().is_some_and(|end| kinds.iter().any(|kind| end == *kind))
        });
        let Some(path) = files.get((file % (files.len() as u64).max(1)) as usize).cloned() else {
            return;
        };
        let bytes = self.directory.read(&path).map_or(0, |bytes| bytes.len() as u64);
        if bytes == 0 {
            return;
        }
        self.harms += 1;
        let place = (at >> 8) % bytes;
        self.note(format!("   harms {} at {place}", path.display()));
        if at.is_multiple_of(3) {
            self.directory.shorten(&path, place);
        } else {
            let _there = self.directory.flip(&path, place, 1 << (at % 8));
        }
    }

    pub(super) fn zero(&mut self, file: u64, block: u64) {
        let files = self.segments();
        let Some(path) = files.get((file % (files.len() as u64).max(1)) as usize).cloned() else {
            return;
        };
        let Some(bytes) = self.directory.read(&path) else { return };
        let blocks = (bytes.len() as u64).div_ceil(4096).max(1);
        let from = (block % blocks) * 4096;
        self.rot(format!("   zeroes block {} of {}", from / 4096, path.display()));
        for (at, byte) in bytes.iter().enumerate().skip(from as usize).take(4096) {
            let _there = *byte != 0 && self.directory.flip(&path, at as u64, *byte);
        }
    }
}
