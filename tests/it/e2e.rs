//! Runs the program under other tools: Ansible, Terraform, Pulumi, and clients in other languages.
//! These tests take longest, so they begin first: tests run in the order of their names.

mod ansible;
mod ansible_docs;
mod clients;
mod examples;
mod front_ends;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod terraform;
