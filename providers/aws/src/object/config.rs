//! The object that holds a record.

/// One object, for the record of one target.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// The bucket, in the region of the fleet.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}
