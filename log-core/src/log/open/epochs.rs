//! Step 5: the leader epochs, raised durably before anything is cut (S22).
//!
//! ```text
//!   leader-epoch-checkpoint:   (epoch, first offset) …      cut or reopened ─▶ one more at the end
//! ```

use std::path::Path;

use super::{EPOCHS, OpenError, Request};
use crate::disk::Directory;
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::{leader_epochs_text, parse_leader_epochs};
use crate::ids::{LeaderEpoch, Offset};
use crate::model::epochs::LeaderEpochs;
use crate::segment::recover::Scan;
use crate::segment::replace::{read_small, replace};
use crate::segment::watermark::Watermark;

/// Step 5. The epochs, the last of them that of this life: one higher than before if something is
/// to be cut.
pub(super) fn leader_epochs(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    scan: &Scan,
    log_start: Offset,
    warnings: &mut Vec<String>,
) -> Result<LeaderEpochs, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(EPOCHS);
    let bytes = read_small(directory, &path).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the epochs cannot be read", error))
    })?;
    let parsed = bytes.as_deref().map(parse_leader_epochs);
    if let Some(Err(error)) = &parsed {
        warnings.push(format!("{}: {error}, which happens now", path.display()));
    }
    let mut epochs = LeaderEpochs::new(parsed.and_then(Result::ok).unwrap_or_default());
    let before = epochs.clone();
    let known = watermark.map_or(LeaderEpoch::ZERO, |mark| mark.leader_epoch);
    let last = epochs.latest().unwrap_or(LeaderEpoch::ZERO).max(known);
    let raised = scan.bytes_cut > 0 || request.reopened;
    let epoch = if raised { last.next() } else { last };
    let unknown = epochs.latest().is_none() && !raised;
    let end = scan.end.offset;
    if epochs.latest() != Some(epoch) || !epochs.starts_at_or_below(end) {
        epochs.truncate_from_end(end);
        epochs.assign(epoch, if unknown { log_start.min(end) } else { end });
    }
    epochs.truncate_from_start(log_start);
    if epochs != before {
        write_epochs(directory, &request.dir, &epochs).map_err(OpenError::Io)?;
    }
    Ok(epochs)
}

/// Writes the epochs of the partition in `dir` down.
///
/// # Durability
///
/// Durable when it returns `Ok`.
pub(crate) fn write_epochs(
    directory: &dyn Directory,
    dir: &Path,
    epochs: &LeaderEpochs,
) -> Result<(), Fault> {
    replace(directory, dir, EPOCHS, leader_epochs_text(epochs.entries()).as_bytes()).map_err(
        |error| {
            let path = dir.join(EPOCHS);
            Fault::io(FaultKind::Write, &path, "the epochs cannot be written", error)
        },
    )
}
