//! LZ4: one frame, in the form Kafka gives it since message format v1.
//!
//! ```text
//!   04 22 4D 18 │ FLG │ BD │ content size? │ HC │ u32 length, block, checksum? │ … │ 0 │ checksum?
//! ```
//!
//! All numbers are little-endian. Written: FLG 0x60 (version 1, independent blocks, no checksums),
//! BD 0x40 (64 KiB blocks). Read: checksums and content size too, and they are checked; dependent
//! blocks, dictionaries and other versions are refused, as Kafka's `Lz4BlockInputStream` does.

use std::io::{Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, Error, FrameDecoder, FrameEncoder, FrameInfo};

use super::error::{ENDS_TOO_EARLY, Stop};
use super::output::Output;
use crate::int::usize_from_u32;

/// The magic number, FLG and BD.
const DESCRIPTOR_BYTES: usize = 6;
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4D, 0x18];
const VERSION_BITS: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BIT: u8 = 1 << 5;
const BLOCK_CHECKSUM_BIT: u8 = 1 << 4;
const CONTENT_SIZE_BIT: u8 = 1 << 3;
const CONTENT_CHECKSUM_BIT: u8 = 1 << 2;
/// Reserved, and the dictionary.
const REFUSED_BITS: u8 = 0b11;
/// A block that is stored as it is says so in its length.
const STORED_BIT: u32 = 1 << 31;
const CHECKSUM_BYTES: usize = 4;

pub(super) fn decompress(compressed: &[u8], output: &mut Output) -> Result<(), Stop> {
    if compressed.is_empty() {
        return Ok(());
    }
    if frame_bytes(compressed)? != compressed.len() {
        return Err(Stop::Damaged("bytes follow its frame"));
    }
    let mut decoder = FrameDecoder::new(compressed);
    loop {
        let spare = output.spare()?;
        let room = spare.capacity() - spare.len();
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(room).read_to_end(spare).map_err(|error| stop(&error))?;
        if read == 0 {
            break;
        }
    }
    // A block of no bytes looks like the end to whoever reads.
    if decoder.get_ref().is_empty() { Ok(()) } else { Err(Stop::Damaged("a block is empty")) }
}

/// Bytes of the frame at the front of `bytes`: a walk from length to length, nothing unpacked. It
/// tells a frame without its end mark, which the decoder takes for a whole one.
fn frame_bytes(bytes: &[u8]) -> Result<usize, Stop> {
    let flags = flags(bytes)?;
    let has = |bit| flags & bit != 0;
    let content_size = if has(CONTENT_SIZE_BIT) { size_of::<u64>() } else { 0 };
    let mut at = DESCRIPTOR_BYTES + content_size + 1;
    loop {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(ENDS_TOO_EARLY)?;
        let [a, b, c, d] = *field;
        let length = u32::from_be_bytes([d, c, b, a]);
        at += size_of::<u32>();
        if length == 0 {
            break;
        }
        at += usize_from_u32(length & !STORED_BIT);
        at += if has(BLOCK_CHECKSUM_BIT) { CHECKSUM_BYTES } else { 0 };
    }
    at += if has(CONTENT_CHECKSUM_BIT) { CHECKSUM_BYTES } else { 0 };
    if at > bytes.len() { Err(ENDS_TOO_EARLY) } else { Ok(at) }
}

/// The FLG byte of a frame that may be read.
fn flags(bytes: &[u8]) -> Result<u8, Stop> {
    let Some([magic @ .., flags, _descriptor]) = bytes.first_chunk::<DESCRIPTOR_BYTES>() else {
        return Err(ENDS_TOO_EARLY);
    };
    if *magic != MAGIC {
        return Err(Stop::Damaged("it does not begin with the magic number of a frame"));
    }
    if flags & VERSION_BITS != VERSION {
        return Err(Stop::Damaged("its frame is not of version 1"));
    }
    if flags & INDEPENDENT_BIT == 0 {
        return Err(Stop::Damaged("its blocks depend on each other, which Kafka does not read"));
    }
    if flags & REFUSED_BITS != 0 {
        return Err(Stop::Damaged("its frame needs a dictionary or sets a reserved bit"));
    }
    Ok(*flags)
}

fn stop(error: &std::io::Error) -> Stop {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return ENDS_TOO_EARLY;
    }
    let frame = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    Stop::Damaged(match frame {
        Some(Error::HeaderChecksumError) => "the checksum of its frame's header is wrong",
        Some(Error::BlockChecksumError) => "the checksum of a block is wrong",
        Some(Error::ContentChecksumError) => "the checksum of its content is wrong",
        Some(Error::ContentLengthError { .. }) => "it does not unpack to the size it declares",
        Some(Error::BlockTooBig) => "a block is larger than its frame allows",
        Some(Error::UnsupportedBlocksize(_)) => "its frame names no block size",
        Some(Error::ReservedBitsSet) => "its frame sets a reserved bit",
        _ => "a block contradicts itself",
    })
}

pub(super) fn compress(bytes: &[u8], _level: i32, out: &mut Vec<u8>) -> Result<(), Stop> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    let failed = Stop::Damaged("the compressor failed");
    encoder.write_all(bytes).map_err(|_| failed)?;
    encoder.finish().map(drop).map_err(|_| failed)
}
