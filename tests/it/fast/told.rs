//! What plans, waits, reasons and advice say is so, and says what to do.

mod advice;
mod causes;
mod plans;
mod protects_new;
mod resumed;
