//! Prints figures beside their bounds.
//!
//! A figure beyond its bound is reported, but is no failure: figures depend on the machine, and on
//! what else it does.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::fmt::Display;

/// Prints the figure `name` beside the `bound` that it must not exceed, both with their unit.
pub fn below<T: PartialOrd + Display>(name: &str, figure: T, bound: T, unit: &str) {
    tell(name, &figure, &bound, unit, figure <= bound);
}

/// Prints the figure `name` beside the `bound` that it must not fall below.
pub fn above<T: PartialOrd + Display>(name: &str, figure: T, bound: T, unit: &str) {
    tell(name, &figure, &bound, unit, figure >= bound);
}

fn tell(name: &str, figure: &dyn Display, bound: &dyn Display, unit: &str, is_kept: bool) {
    let judgement = if is_kept { "kept" } else { "NOT KEPT" };
    println!("{name:<62} {figure:>9.2} {unit:<4} bound {bound:>8.2} {unit:<4} {judgement}");
}
