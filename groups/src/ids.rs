//! Who is in a group, and in which of its lives: names and numbers with a meaning.
//!
//! ```text
//!   GroupId      chosen by the application
//!   MemberId     given out by the coordinator, anew for every process
//!   InstanceId   chosen by the application, outlives the process (KIP-345)
//!   Generation   one completed assignment of the group: 1, 2, 3, …
//! ```

use core::fmt;
use std::sync::Arc;

use log_core::TopicName;
use log_core::ids::TopicNameError;

/// Longest group or member id, in bytes: what a string of Kafka's protocol can hold.
pub const ID_BYTES_MAX: usize = 32_767;

/// Why a text is no id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// No characters at all.
    #[error("an id of a group or member cannot be empty")]
    Empty,
    /// More than [`ID_BYTES_MAX`] bytes.
    #[error("an id has at most {ID_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
}

fn checked(id: &str) -> Result<Arc<str>, IdError> {
    match id.len() {
        0 => Err(IdError::Empty),
        bytes if bytes > ID_BYTES_MAX => Err(IdError::TooLong { bytes }),
        _ => Ok(id.into()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `id`.
            ///
            /// # Errors
            ///
            /// [`IdError`]: it is empty or longer than [`ID_BYTES_MAX`].
            pub fn new(id: &str) -> Result<Self, IdError> {
                checked(id).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The name under which consumers share the partitions of their topics. Cheap to clone.
    GroupId
}

id! {
    /// One registered consumer. The empty id, with which a consumer introduces itself, is `None`
    /// wherever an id may be missing. Cheap to clone.
    MemberId
}

id! {
    /// Where a consumer or a replica stands (`client.rack`). An empty one is no rack.
    RackId
}

id! {
    /// What kind of members a group has (`consumer`, `connect`). Cheap to clone.
    ProtocolType
}

impl ProtocolType {
    /// Whether members are consumers, so that what they say about themselves are subscriptions.
    #[must_use]
    pub fn is_consumer(&self) -> bool {
        self.as_str() == "consumer"
    }

    /// The kind that consumers have.
    #[must_use]
    pub fn consumer() -> Self {
        Self("consumer".into())
    }
}

id! {
    /// A way of assigning that members vote for: the name of an assignor. Cheap to clone.
    ProtocolName
}

/// A name that a consumer keeps across restarts (`group.instance.id`). Cheap to clone.
///
/// Ordered as plain text, so `"10"` stands before `"2"`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceId(TopicName);

impl InstanceId {
    /// Checks `id` by the rule of topic names, as Kafka does (`JoinGroupRequest`).
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn new(id: &str) -> Result<Self, TopicNameError> {
        TopicName::new(id).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a group's assignment: 0 before the first, then one more with every completed join
/// phase. On the wire −1 is "none"; here that is `Option::None`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(i32);

impl Generation {
    /// A group that never completed a join phase.
    pub const ZERO: Self = Self(0);

    /// Generation `value`, or `None` if it is negative, which is how the protocol says "none".
    #[must_use]
    pub const fn new(value: i32) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number, 0 or more.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The generation after this one. After `i32::MAX` comes 1, never 0 and never a negative one.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == i32::MAX { Self(1) } else { Self(self.0 + 1) }
    }

    /// The number as the protocol writes it: −1 for none.
    #[must_use]
    pub fn to_wire(generation: Option<Self>) -> i32 {
        generation.map_or(-1, Self::get)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_length_is_taken_or_refused() {
        assert_eq!(GroupId::new(""), Err(IdError::Empty));
        assert!(MemberId::new(&"x".repeat(ID_BYTES_MAX)).is_ok());
        let bytes = ID_BYTES_MAX + 1;
        assert_eq!(MemberId::new(&"x".repeat(bytes)), Err(IdError::TooLong { bytes }));
    }

    #[test]
    fn an_instance_id_follows_the_rule_of_topic_names() {
        assert!(InstanceId::new("shop-7.eu_1").is_ok());
        for bad in ["", ".", "..", "a b", "a/b", &"x".repeat(250)] {
            assert!(InstanceId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generations_never_become_negative() {
        assert_eq!(Generation::new(-1), None);
        let last = Generation::new(i32::MAX).unwrap();
        assert_eq!(last.next(), Generation::new(1).unwrap());
        assert_eq!(Generation::to_wire(None), -1);
    }
}
