//! A run of batches, one behind the other, as a segment file and a fetch answer hold them.

use super::{BatchError, BatchView};

/// A batch and where it stands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PlacedBatch<'a> {
    /// The batch's first byte, counted from the front of the bytes that are split.
    pub position: usize,
    /// The batch.
    pub batch: BatchView<'a>,
}

/// Why the split ended before the bytes did.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchesError {
    /// The bytes end within a batch: a write that was cut off, or a fetch that was cut to size. A
    /// damaged length field can look the same.
    #[error(
        "the last {bytes} bytes, from byte {position} on, are no whole batch: give the rest of it, too"
    )]
    Trailing {
        /// Where the partial batch begins.
        position: usize,
        /// Its bytes that are there, 1 or more.
        bytes: usize,
    },
    /// What stands at `position` is no batch.
    #[error("no record batch at byte {position}: {source}")]
    Damaged {
        /// Where it should begin.
        position: usize,
        /// Why it is none.
        source: BatchError,
    },
}

/// Splits bytes into batches, verbatim, each with its position. Checksums are not computed.
///
/// Ends cleanly where the bytes end. After an error it answers with that error for ever, so leave
/// at the first (`collect::<Result<…>>` does).
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Batches<'a> {
    /// Splits `bytes`, which begin with a batch.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes split so far: all batches up to here are whole.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<PlacedBatch<'a>, BatchesError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position;
        let rest = self.bytes.get(position..).filter(|rest| !rest.is_empty())?;
        Some(match BatchView::parse(rest) {
            Ok(batch) => {
                self.position += batch.as_bytes().len();
                Ok(PlacedBatch { position, batch })
            }
            Err(BatchError::Short { .. }) => {
                Err(BatchesError::Trailing { position, bytes: rest.len() })
            }
            Err(source) => Err(BatchesError::Damaged { position, source }),
        })
    }
}
