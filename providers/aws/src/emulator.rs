//! Emulators of AWS, which know many calls and not all of them.
//!
//! A call that only checks or warns, and that an emulator does not know, costs a warning there. On AWS
//! it stays an error, and so does everywhere whatever a rollout is made of: record and lease, sizes,
//! health.

mod reached;
mod shape;
mod versions;

pub(crate) use reached::Reached;
pub(crate) use shape::{Shape, Versions};
