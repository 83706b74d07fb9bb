//! Names for what the machine and its driver talk about. Knows nothing of what they stand for.

use core::fmt;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// One channel to one remote, chosen by the driver and never reused within a machine.
    PeerId
);
id!(
    /// One thing that our side asked for, chosen by the driver and never reused within a machine.
    DemandId
);
id!(
    /// One effect that the machine asked its driver to run; its reply carries it back.
    Ticket
);
