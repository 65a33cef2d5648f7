//! Claims about codecs: round trips, the framing of others, lies of every kind, bounds.
//!
//! `row_…` names a row of the fault catalogue, `a13` a scenario of the format.

#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use std::io::Write;

use proptest::prelude::*;

use super::*;

const COMPRESSING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const MIB: usize = 1 << 20;

/// Bytes no codec can make smaller: a xorshift sequence.
fn incompressible(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(Compression::new(codec).unwrap(), bytes, &mut out).unwrap();
    out
}

fn damaged(codec: Codec, bytes: &[u8]) -> &'static str {
    match codec.decompress(bytes, 1 << 24) {
        Err(CodecError::Damaged { codec: named, reason, .. }) => {
            assert_eq!(named, codec);
            reason
        }
        other => panic!("{codec}: {other:?}"),
    }
}

#[test]
fn a13_every_codec_gives_back_what_it_took() {
    let text = b"the same few words again, and again the same few words".repeat(1000);
    for codec in Codec::ALL {
        for bytes in [&b""[..], b"x", &text, &incompressible(MIB)] {
            let stream = compressed(codec, bytes);
            let bound = u32::try_from(bytes.len()).unwrap();
            assert!(codec.decompress(&stream, bound).unwrap() == bytes, "{codec}");
        }
        let smaller = compressed(codec, &text).len() * 4 < text.len();
        assert_eq!(smaller, codec != Codec::None, "{codec} compresses");
    }
}

#[test]
fn every_level_gives_back_what_it_took() {
    let text = b"the same few words again, and again the same few words".repeat(1000);
    let levels =
        [(Codec::Gzip, [1, 6, 9]), (Codec::Lz4, [1, 9, 17]), (Codec::Zstd, [-131_072, 3, 19])];
    for (codec, levels) in levels {
        for level in levels {
            let compression = Compression::new(codec).unwrap().level(level).unwrap();
            let mut stream = Vec::new();
            compress(compression, &text, &mut stream).unwrap();
            assert!(codec.decompress(&stream, 1 << 20).unwrap() == text, "{codec} {level}");
        }
    }
}

#[test]
fn a_level_that_is_not_there_is_refused() {
    for (codec, level) in [
        (Codec::None, 1),
        (Codec::Snappy, 1),
        (Codec::Gzip, 0),
        (Codec::Gzip, 10),
        (Codec::Lz4, 18),
        (Codec::Zstd, 23),
        (Codec::Zstd, -131_073),
    ] {
        let error = Compression::new(codec).unwrap().level(level).unwrap_err();
        assert!(matches!(error, CodecError::Level { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{codec} has no level {level}")), "{error}");
    }
}

#[test]
fn codecs_go_by_kafkas_names() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse(), Ok(codec));
        assert!(codec.is_built_in());
    }
    let error = "lzma".parse::<Codec>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no codec \"lzma\": none, gzip, snappy, lz4 and zstd are known"
    );
}

#[test]
fn row_80_a_bomb_stops_at_the_bound() {
    let bound = 1 << 20;
    for codec in COMPRESSING {
        let bomb = compressed(codec, &vec![0; 32 * MIB]);
        let mut output = Output::new(bomb.len(), bound);
        let stopped = match codec {
            Codec::Gzip => gzip::decompress(&bomb, &mut output),
            Codec::Snappy => snappy::decompress(&bomb, &mut output),
            Codec::Lz4 => lz4::decompress(&bomb, &mut output),
            _ => zstd::decompress(&bomb, &mut output),
        };
        assert_eq!(stopped, Err(error::Stop::TooLarge), "{codec}");
        let held = output.into_bytes().capacity();
        assert!(held <= MIB + 1, "{codec} holds {held} bytes");
        let refused = CodecError::TooLarge { codec, bytes_max: bound };
        assert_eq!(codec.decompress(&bomb, bound), Err(refused));
    }
}

#[test]
fn row_80_the_bound_itself_is_not_past_it() {
    for codec in Codec::ALL {
        let stream = compressed(codec, &[7; 5000]);
        assert_eq!(codec.decompress(&stream, 5000).unwrap(), [7; 5000]);
        let refused = CodecError::TooLarge { codec, bytes_max: 4999 };
        assert_eq!(codec.decompress(&stream, 4999), Err(refused));
    }
}

#[test]
fn row_80_frames_behind_each_other_count_together() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let two = compressed(codec, &[7; 5000]).repeat(2);
        assert_eq!(codec.decompress(&two, 10_000).unwrap(), [7; 10_000], "{codec}");
        let refused = CodecError::TooLarge { codec, bytes_max: 9999 };
        assert_eq!(codec.decompress(&two, 9999), Err(refused));
    }
    // Kafka reads one frame, and no client sends two.
    let two = compressed(Codec::Lz4, &[7; 5000]).repeat(2);
    assert_eq!(damaged(Codec::Lz4, &two), "bytes follow its frame");
}

#[test]
fn row_80_a_frame_within_a_frame_is_just_bytes() {
    for codec in COMPRESSING {
        let inner = compressed(codec, &vec![0; 32 * MIB]);
        let nested = compressed(codec, &inner);
        let bound = u32::try_from(inner.len()).unwrap();
        assert!(codec.decompress(&nested, bound).unwrap() == inner, "{codec}");
    }
}

#[test]
fn row_80_a_declared_length_is_not_believed() {
    // 60 MiB declared, five bytes behind it: as a raw block, and in xerial's framing.
    let mut raw = vec![0x80, 0x80, 0x80, 0x1E];
    raw.extend_from_slice(&[0, b'x', 0, b'x', 0]);
    let lie = "a block declares more than its bytes can hold";
    assert_eq!(damaged(Codec::Snappy, &raw), lie);
    assert_eq!(damaged(Codec::Snappy, &xerial(&[&raw])), lie);
    // A frame that declares 2^62 bytes of content and holds a few.
    let frame = [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x2B, 0, 0, b'x'];
    let result = Codec::Zstd.decompress(&frame, 1 << 20);
    assert!(matches!(result, Err(CodecError::Damaged { .. })), "{result:?}");
}

#[test]
fn row_81_a_window_of_gigabytes_is_refused() {
    // No content size, one block: the byte x five times. The window is 2^10 << exponent.
    let frame =
        |exponent: u8| [0x28, 0xB5, 0x2F, 0xFD, 0, exponent << 3, 0x2B, 0, 0, b'x'].to_vec();
    assert_eq!(Codec::Zstd.decompress(&frame(17), 1 << 20).unwrap(), b"xxxxx", "128 MiB");
    for exponent in [18, 21, 31] {
        let reason = damaged(Codec::Zstd, &frame(exponent));
        assert!(reason.contains("too much memory"), "{reason}");
    }
}

#[test]
fn row_81_a_wrong_checksum_of_a_block_is_found() {
    let info = lz4_flex::frame::FrameInfo::new().block_checksums(true);
    let mut frame = lz4_frame(info, &incompressible(1000));
    let last = frame.len() - 9;
    frame[last] ^= 1;
    assert_eq!(damaged(Codec::Lz4, &frame), "the checksum of a block is wrong");
}

#[test]
fn row_81_framing_that_lies_is_refused() {
    let block = snap::raw::Encoder::new().compress_vec(b"abc").unwrap();
    let whole = xerial(&[&block]);
    assert_eq!(Codec::Snappy.decompress(&whole, 100).unwrap(), b"abc");
    let early = "it ends too early";
    for cut in [9, 15, 17, whole.len() - 1] {
        assert_eq!(damaged(Codec::Snappy, &whole[..cut]), early, "{cut} bytes");
    }
    for length in [[0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0, 0, 0, 9]] {
        let mut lie = whole.clone();
        lie[16..20].copy_from_slice(&length);
        assert_eq!(damaged(Codec::Snappy, &lie), early, "{length:?}");
    }
    let mut later = whole;
    later[15] = 2;
    assert_eq!(damaged(Codec::Snappy, &later), "its framing is of an unknown version");
}

fn xerial(blocks: &[&[u8]]) -> Vec<u8> {
    let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in blocks {
        stream.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
        stream.extend_from_slice(block);
    }
    stream
}

fn lz4_frame(info: lz4_flex::frame::FrameInfo, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a14_raw_snappy_and_xerials_chunks_are_both_read() {
    let block = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let text = b"as other clients send it".repeat(5000);
    assert!(Codec::Snappy.decompress(&block(&text), 1 << 20).unwrap() == text);
    let (a, b, c) = (block(b"one "), block(b"two "), block(b"three"));
    let three = xerial(&[&a, &b, &c]);
    assert_eq!(Codec::Snappy.decompress(&three, 100).unwrap(), b"one two three");
    let ours = compressed(Codec::Snappy, &text);
    assert_eq!(ours[..16], xerial(&[]));
    let first = u32::from_be_bytes(ours[16..20].try_into().unwrap());
    let first = &ours[20..20 + usize::try_from(first).unwrap()];
    assert_eq!(snap::raw::decompress_len(first).unwrap(), 32 * 1024, "Kafka's block size");
}

#[test]
fn a15_lz4_frames_are_read_as_kafka_reads_them() {
    use lz4_flex::frame::{BlockMode, FrameInfo};
    let text = b"as other clients send it".repeat(5000);
    let ours = compressed(Codec::Lz4, &text);
    assert_eq!(ours[..7], [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82], "Kafka's frame header");
    assert_eq!(ours[ours.len() - 4..], [0; 4], "and end mark");

    let mut wrong = ours;
    wrong[6] ^= 1;
    let reason = "the checksum of its frame's header is wrong";
    assert_eq!(damaged(Codec::Lz4, &wrong), reason);
    let dependent = lz4_frame(FrameInfo::new().block_mode(BlockMode::Linked), &text);
    assert!(damaged(Codec::Lz4, &dependent).contains("depend on each other"));

    let size = Some(u64::try_from(text.len()).unwrap());
    let all = FrameInfo::new().block_checksums(true).content_checksum(true).content_size(size);
    let all = lz4_frame(all, &text);
    assert_eq!(all[4] & 0b11100, 0b11100);
    assert!(Codec::Lz4.decompress(&all, 1 << 20).unwrap() == text);
    let mut wrong = all.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert_eq!(damaged(Codec::Lz4, &wrong), "the checksum of its content is wrong");
}

#[test]
fn an_lz4_frame_of_another_kind_is_named() {
    let frame = compressed(Codec::Lz4, b"abc");
    let with = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[at] = byte;
        frame
    };
    assert!(damaged(Codec::Lz4, &with(0, 2)).contains("magic number"));
    assert!(damaged(Codec::Lz4, &with(4, 0xA0)).contains("version 1"));
    assert!(damaged(Codec::Lz4, &with(4, 0x61)).contains("dictionary or sets a reserved bit"));
    // A block of no bytes would end the reading early, and silently.
    let mut empty = frame[..7].to_vec();
    empty.extend_from_slice(&[0, 0, 0, 0x80]);
    empty.extend_from_slice(&frame[7..]);
    assert_eq!(damaged(Codec::Lz4, &empty), "a block is empty");
}

#[test]
fn a16_a_stream_that_is_cut_anywhere_is_an_error() {
    let text = incompressible(300);
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let whole = compressed(codec, &text);
        for cut in 1..whole.len() {
            let result = codec.decompress(&whole[..cut], 1 << 20);
            assert!(matches!(result, Err(CodecError::Damaged { .. })), "{codec} {cut}: {result:?}");
        }
        let mut followed = whole;
        followed.extend_from_slice(b"tail");
        let result = codec.decompress(&followed, 1 << 20);
        assert!(matches!(result, Err(CodecError::Damaged { .. })), "{codec}: {result:?}");
    }
}

#[test]
fn an_error_says_which_codec_and_how_far_it_came() {
    let mut stream = compressed(Codec::Gzip, &incompressible(100_000));
    let last = stream.len() - 5;
    stream[last] ^= 1;
    let error = Codec::Gzip.decompress(&stream, 1 << 20).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the gzip stream is damaged "), "{text}");
    assert!(matches!(error, CodecError::Damaged { at, .. } if at > 0), "{text}");
    assert_eq!(error.kafka_code(), 87);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in Codec::ALL {
            if let Ok(out) = codec.decompress(&bytes, 4096) {
                prop_assert!(out.len() <= 4096);
            }
        }
    }

    #[test]
    fn a_changed_stream_ends_in_a_value_or_an_error(
        fill in 1..3000_usize, at in any::<prop::sample::Index>(), byte: u8
    ) {
        let text = [incompressible(fill), vec![7; fill]].concat();
        for codec in COMPRESSING {
            let mut stream = compressed(codec, &text);
            let at = at.index(stream.len());
            stream[at] = byte;
            if let Ok(out) = codec.decompress(&stream, 4096) {
                prop_assert!(out.len() <= 4096);
            }
        }
    }
}
