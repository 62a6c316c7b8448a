//! The front-ends: each translates its own protocol to and from calls of the layers below.

pub mod ansible;
pub(crate) mod cli;
pub mod json_rpc;
pub mod schemas;
pub mod terraform;
