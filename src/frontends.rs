//! The ways in: each turns its own protocol into calls of the layers below, and their answers back.

pub mod ansible;
pub mod cli;
pub mod json_rpc;
pub mod schemas;
pub mod terraform;
