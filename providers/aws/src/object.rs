//! A fleet whose record is an object in S3 and not tags on the target.

#[cfg(feature = "s3")]
mod fleet;
#[cfg(feature = "s3")]
mod store;
#[cfg(feature = "s3")]
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rolling_provider::{Fleet, ProviderError};

use crate::connect::Aws;

/// One object, for the record of one target.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// The bucket, in the region of the fleet.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

impl Aws {
    /// `fleet` with its record in `object`.
    ///
    /// # Errors
    /// In a build without S3 there is none.
    #[cfg(feature = "s3")]
    pub fn recorded(
        &self,
        fleet: Arc<dyn Fleet>,
        object: S3Object,
    ) -> Result<Arc<dyn Fleet>, ProviderError> {
        let store = store::Store { client: self.s3.clone(), object };
        Ok(Arc::new(fleet::RecordedFleet::new(fleet, store)))
    }

    /// The same in a build that cannot.
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
