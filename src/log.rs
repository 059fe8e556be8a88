//! What happens to a directory, told to whoever listens through `tracing`. Without that feature nothing is told, and no argument is computed.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{debug, error, info, warn};

#[cfg(not(feature = "tracing"))]
macro_rules! nothing {
    ($($_:tt)*) => {{}};
}
#[cfg(not(feature = "tracing"))]
pub(crate) use {nothing as debug, nothing as error, nothing as info, nothing as warn};
