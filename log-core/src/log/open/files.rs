//! Steps 1 and 3: whose directory this is, and which segments it holds.
//!
//! ```text
//!   partition.metadata ─▶ topic id          gone or damaged: the watermark remembers it
//!   *.log ─▶ candidates, ascending          none: the first one is made
//! ```

use std::io;
use std::path::Path;

use super::{OpenError, Request};
use crate::disk::{Directory, EntryKind, Open};
use crate::error::{Fault, FaultKind};
use crate::format::metadata::{PARTITION_METADATA_FILE, PartitionMetadata};
use crate::format::{FileKind, FileState, SegmentFileName, segment_file_name};
use crate::ids::{Offset, TopicId};
use crate::log::engine::Shared;
use crate::segment::recover::{Candidate, Known};
use crate::segment::replace::{read_small, replace};
use crate::segment::watermark::Watermark;

/// The topic id that the metadata in `dir` names, if that is there and whole.
pub(crate) fn named_topic_id(directory: &dyn Directory, dir: &Path) -> io::Result<Option<TopicId>> {
    let bytes = read_small(directory, &dir.join(PARTITION_METADATA_FILE))?;
    let metadata = bytes.and_then(|bytes| PartitionMetadata::parse(&bytes).ok());
    Ok(metadata.map(|metadata| metadata.topic_id))
}

/// Step 1. A directory whose metadata is gone or damaged keeps the id its watermark remembers.
pub(super) fn topic_id(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    warnings: &mut Vec<String>,
) -> Result<TopicId, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(PARTITION_METADATA_FILE);
    let named = named_topic_id(directory, &request.dir).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the topic id cannot be read", error))
    })?;
    if let Some(id) = named {
        return Ok(id);
    }
    let id = watermark.map_or(request.new_topic_id, |mark| mark.topic_id);
    warnings.push(format!("{}: holds no topic id; {id} is written", path.display()));
    let text = PartitionMetadata { topic_id: id }.to_string();
    replace(directory, &request.dir, PARTITION_METADATA_FILE, text.as_bytes()).map_err(
        |error| {
            OpenError::Io(Fault::io(
                FaultKind::Write,
                &path,
                "the topic id cannot be written",
                error,
            ))
        },
    )?;
    Ok(id)
}

/// The segment files there are, ascending.
pub(super) fn segments(
    shared: &Shared,
    dir: &Path,
    open: Open,
    warnings: &mut Vec<String>,
) -> Result<Vec<Candidate>, OpenError> {
    let directory = &*shared.directory;
    let fault = |what| move |error| OpenError::Io(Fault::io(FaultKind::Read, dir, what, error));
    let mut candidates = Vec::new();
    for entry in directory.list(dir).map_err(fault("the partition cannot be listed"))? {
        let Some(name) = SegmentFileName::parse(&entry.name) else { continue };
        if name.kind != FileKind::Log || name.state != FileState::Live {
            continue;
        }
        let path = dir.join(&entry.name);
        if entry.kind != EntryKind::File {
            warnings.push(format!("{}: not a regular file, left alone", path.display()));
            continue;
        }
        let opened = shared.files.open_pooled(&path, open).and_then(|file| Ok((file.len()?, file)));
        let (bytes, file) = opened.map_err(|error| {
            OpenError::Io(Fault::io(FaultKind::Read, &path, "the segment cannot be opened", error))
        })?;
        let (base, known) = (name.base_offset, Known::Nothing);
        candidates.push(Candidate { base, path, file, bytes, known });
    }
    candidates.sort_by_key(|candidate| candidate.base);
    Ok(candidates)
}

/// Step 3. The segment files, ascending; a partition without any gets its first one.
pub(super) fn candidates(
    request: &Request<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Candidate>, OpenError> {
    let dir = request.dir.as_path();
    let directory = &*request.shared.directory;
    let fault = |what| move |error| OpenError::Io(Fault::io(FaultKind::Read, dir, what, error));
    let mut candidates = segments(request.shared, dir, Open::Write, warnings)?;
    if candidates.is_empty() {
        let path = dir.join(segment_file_name(Offset::ZERO, FileKind::Log));
        let file = request
            .shared
            .files
            .open_pooled(&path, Open::Create)
            .and_then(|file| directory.sync_dir(dir).map(|()| file))
            .map_err(fault("the first segment cannot be made"))?;
        let (base, known) = (Offset::ZERO, Known::Nothing);
        candidates.push(Candidate { base, path, file, bytes: 0, known });
    }
    Ok(candidates)
}
