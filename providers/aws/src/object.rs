//! A fleet whose record is an object in S3 and not tags on the target.

mod config;
#[cfg(feature = "s3")]
mod fleet;
#[cfg(feature = "s3")]
mod store;
#[cfg(feature = "s3")]
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rolling_provider::{Fleet, ProviderError};

pub use config::S3Object;

use crate::connect::Aws;

impl Aws {
    /// Returns `fleet` with its record in `object`.
    ///
    /// # Errors
    /// Only in a build without S3.
    #[cfg(feature = "s3")]
    pub fn recorded(
        &self,
        fleet: Arc<dyn Fleet>,
        object: S3Object,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let store = store::Store { client: self.s3.clone(), object };
        Ok(Arc::new(fleet::RecordedFleet::new(fleet, store)))
    }

    /// Refuses, in a build without S3.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "s3"))]
    pub fn recorded(
        &self,
        _fleet: Arc<dyn Fleet>,
        _object: S3Object,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let message = "this build of rolling has no S3 in it";
        let error = ProviderError::invalid("open the record", "record/s3", message);
        Err(error.with_remedy("build it with the feature `s3`, which is on by default"))
    }
}
