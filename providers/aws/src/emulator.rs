//! Emulators of AWS, which know many calls but not all.
//!
//! On an emulator, an unknown call that only checks or warns costs a warning. On AWS it stays an
//! error. Calls that a rollout is made of stay errors everywhere: record and lease, sizes, health.

mod reached;
mod shape;
mod versions;

pub(crate) use reached::Reached;
pub(crate) use shape::{Shape, Versions};
