//! Snappy: xerial's framing around raw blocks, as snappy-java and so Kafka write it.
//!
//! ```text
//!   0                         8          12              16
//!   ├ 82 53 4E 41 50 50 59 00 ┼ version 1┼ compatible 1 ─┼ i32 length │ raw block │ i32 length │ …
//! ```
//!
//! Each raw block stands for at most 32 KiB and begins with its own uncompressed length. Without
//! the eight bytes at the front everything is one raw block, as other clients send it. A second
//! header in the place of a length starts another stream.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::error::{ENDS_TOO_EARLY, Stop};
use super::output::Output;
use crate::int::{u32_saturated, usize_from_u32};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
const VERSION: u32 = 1;
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of 64 bytes takes three: no block unpacks to more than this many times its own size.
const RATIO_MAX: usize = 22;

const _: () = assert!(HEADER_BYTES == MAGIC.len() + 2 * size_of::<u32>());

pub(super) fn decompress(compressed: &[u8], output: &mut Output) -> Result<(), Stop> {
    let mut decoder = Decoder::new();
    let Some(mut rest) = after_header(compressed)? else {
        return match compressed {
            [] => Ok(()),
            raw => block(&mut decoder, raw, output),
        };
    };
    while !rest.is_empty() {
        if let Some(behind) = after_header(rest)? {
            rest = behind;
            continue;
        }
        let (length, behind) = rest.split_first_chunk().ok_or(ENDS_TOO_EARLY)?;
        let length = usize_from_u32(u32::from_be_bytes(*length));
        let (raw, behind) = behind.split_at_checked(length).ok_or(ENDS_TOO_EARLY)?;
        block(&mut decoder, raw, output)?;
        rest = behind;
    }
    Ok(())
}

/// What follows the stream header at the front of `bytes`, if one is there.
fn after_header(bytes: &[u8]) -> Result<Option<&[u8]>, Stop> {
    let Some(versions) = bytes.strip_prefix(&MAGIC) else { return Ok(None) };
    let (version, rest) = versions.split_first_chunk().ok_or(ENDS_TOO_EARLY)?;
    let (compatible, blocks) = rest.split_first_chunk().ok_or(ENDS_TOO_EARLY)?;
    let (version, compatible) = (u32::from_be_bytes(*version), u32::from_be_bytes(*compatible));
    if version < VERSION || compatible > VERSION {
        return Err(Stop::Damaged("its framing is of an unknown version"));
    }
    Ok(Some(blocks))
}

fn block(decoder: &mut Decoder, raw: &[u8], output: &mut Output) -> Result<(), Stop> {
    let damaged = |_| Stop::Damaged("a block contradicts itself");
    let count = decompress_len(raw).map_err(damaged)?;
    if count > raw.len().saturating_mul(RATIO_MAX) {
        return Err(Stop::Damaged("a block declares more than its bytes can hold"));
    }
    decoder.decompress(raw, output.grow(count)?).map_err(damaged)?;
    Ok(())
}

pub(super) fn compress(bytes: &[u8], _level: i32, out: &mut Vec<u8>) -> Result<(), Stop> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for input in bytes.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        let block_at = length_at + size_of::<u32>();
        out.resize(block_at + max_compress_len(input.len()), 0);
        let failed = Stop::Damaged("the compressor failed");
        let room = out.get_mut(block_at..).ok_or(failed)?;
        let length = encoder.compress(input, room).map_err(|_| failed)?;
        out.truncate(block_at + length);
        if let Some(field) = out.get_mut(length_at..block_at) {
            field.copy_from_slice(&u32_saturated(length).to_be_bytes());
        }
    }
    Ok(())
}
