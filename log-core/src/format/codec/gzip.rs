//! Gzip: one RFC 1952 member as Kafka writes it, any number of them as it reads.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{ENDS_TOO_EARLY, Stop};
use super::output::Output;
use crate::int::usize_from;

/// 32 KiB, the largest window of the format.
const WINDOW_BITS: u8 = 15;

pub(super) fn decompress(compressed: &[u8], output: &mut Output) -> Result<(), Stop> {
    let mut rest = compressed;
    while !rest.is_empty() {
        member(&mut rest, output)?;
    }
    Ok(())
}

/// One member from the front of `rest`, its checksum included.
fn member(rest: &mut &[u8], output: &mut Output) -> Result<(), Stop> {
    let mut stream = Decompress::new_gzip(WINDOW_BITS);
    loop {
        let (read, written) = (stream.total_in(), output.len());
        let status = stream
            .decompress_vec(rest, output.spare()?, FlushDecompress::None)
            .map_err(|_| Stop::Damaged("header, content or checksum of a member are wrong"))?;
        let consumed = usize_from(stream.total_in() - read);
        *rest = rest.get(consumed..).unwrap_or_default();
        match status {
            Status::StreamEnd => return Ok(()),
            // There was room, so only input can be what it lacks.
            _ if consumed == 0 && output.len() == written => return Err(ENDS_TOO_EARLY),
            _ => {}
        }
    }
}

pub(super) fn compress(bytes: &[u8], level: i32, out: &mut Vec<u8>) -> Result<(), Stop> {
    let level = flate2::Compression::new(level.unsigned_abs());
    let mut stream = Compress::new_gzip(level, WINDOW_BITS);
    let mut rest = bytes;
    out.reserve(bytes.len() / 2 + 64);
    loop {
        let read = stream.total_in();
        let status = stream
            .compress_vec(rest, out, FlushCompress::Finish)
            .map_err(|_| Stop::Damaged("the compressor failed"))?;
        let consumed = usize_from(stream.total_in() - read);
        rest = rest.get(consumed..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(());
        }
        out.reserve(bytes.len() / 4 + 1024);
    }
}
