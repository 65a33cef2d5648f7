//! Step 5: the leader epochs, raised durably before anything is cut (S22).
//!
//! ```text
//!   leader-epoch-checkpoint:   (epoch, first offset) …      cut or reopened ─▶ one more at the end
//! ```

use super::{EPOCHS, OpenError, Request, first_offset};
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::{LeaderEpochEntry, leader_epochs_text, parse_leader_epochs};
use crate::ids::LeaderEpoch;
use crate::segment::recover::Scan;
use crate::segment::replace::{read_small, replace};
use crate::segment::watermark::Watermark;

/// Step 5. The epoch of this life; one higher than the last if something is to be cut.
pub(super) fn leader_epoch(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    scan: &Scan,
    warnings: &mut Vec<String>,
) -> Result<LeaderEpoch, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(EPOCHS);
    let bytes = read_small(directory, &path).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the epochs cannot be read", error))
    })?;
    let parsed = bytes.as_deref().map(parse_leader_epochs);
    if let Some(Err(error)) = &parsed {
        warnings.push(format!("{}: {error}; it is written anew", path.display()));
    }
    let mut epochs = parsed.and_then(Result::ok).unwrap_or_default();
    let before = epochs.clone();
    let known = watermark.map_or(LeaderEpoch::ZERO, |mark| mark.leader_epoch);
    let last = epochs.last().map_or(LeaderEpoch::ZERO, |entry| entry.epoch).max(known);
    let raised = scan.bytes_cut > 0 || request.reopened;
    let epoch = if raised { last.next() } else { last };
    epochs.retain(|entry| entry.start_offset < scan.end.offset || entry.epoch < epoch);
    if epochs.last().is_none_or(|entry| entry.epoch < epoch) {
        let start_offset = match epochs.last() {
            None if !raised => first_offset(scan),
            _ => scan.end.offset,
        };
        epochs.retain(|entry| entry.start_offset < start_offset);
        epochs.push(LeaderEpochEntry { epoch, start_offset });
    }
    if epochs != before {
        replace(directory, &request.dir, EPOCHS, leader_epochs_text(&epochs).as_bytes()).map_err(
            |error| {
                OpenError::Io(Fault::io(
                    FaultKind::Write,
                    &path,
                    "the epochs cannot be written",
                    error,
                ))
            },
        )?;
    }
    Ok(epoch)
}
