//! Chance that follows from a seed (`SplitMix64`, Steele et al. 2014), or from a list of bytes: then
//! whoever changes the bytes (a fuzzer, a shrinker) changes what happens, piece by piece.

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Chance(Source);

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Bytes { bytes: Vec<u8>, at: usize },
}

impl Chance {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// The numbers that `bytes` hold, as few bytes for each as it needs; zeros behind them.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Source::Bytes { bytes, at: 0 })
    }

    /// Whether the bytes are used up. A seed never is.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        match &self.0 {
            Source::Seed(_) => false,
            Source::Bytes { bytes, at } => *at >= bytes.len(),
        }
    }

    /// 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and no caller iterates")]
    pub fn next(&mut self) -> u64 {
        self.draw(8)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bits = self.draw(match bound {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 8,
        });
        if bound == 0 { 0 } else { bits % bound }
    }

    /// True once in `bound` times.
    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// One of `choices`, which are not none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A number of that many bytes, where bytes are counted.
    fn draw(&mut self, width: usize) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^ (z >> 31)
            }
            Source::Bytes { bytes, at } => {
                let taken = bytes.iter().skip(*at).take(width);
                let number = taken.fold(0, |number, byte| number << 8 | u64::from(*byte));
                *at = at.saturating_add(width);
                number
            }
        }
    }
}
