//! What stands in for a codec that this build was made without.

use super::error::Stop;
use super::output::Output;

pub(super) const fn decompress(_compressed: &[u8], _output: &mut Output) -> Result<(), Stop> {
    Err(Stop::NotBuiltIn)
}

pub(super) const fn compress(_bytes: &[u8], _level: i32, _out: &mut Vec<u8>) -> Result<(), Stop> {
    Err(Stop::NotBuiltIn)
}

#[cfg(test)]
mod tests {
    use crate::format::codec::{Codec, CodecError, Compression};

    #[test]
    fn a_codec_that_is_left_out_is_refused_by_name() {
        let absent = Codec::ALL.into_iter().filter(|codec| !codec.is_built_in());
        for codec in absent {
            let refused = CodecError::NotBuiltIn { codec };
            assert_eq!(codec.decompress(b"x", 100), Err(refused));
            assert_eq!(Compression::new(codec), Err(refused));
            assert_eq!(refused.kafka_code(), 76);
            let text = format!(
                "the codec {codec} is not built in: build log-core with its feature `{codec}`"
            );
            assert_eq!(refused.to_string(), text);
        }
    }
}
