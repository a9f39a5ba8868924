//! Tests of the host's codec: what goes out comes back, and broken bytes are refused with the right word.
//!
//! Not here: the guest's reader and writer, which are tested against this codec in `tests/slim.rs`.

mod broken;
mod round_trip;
mod samples;
mod slim;
