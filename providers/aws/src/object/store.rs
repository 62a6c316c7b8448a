//! The object itself: read, and written or deleted only if unchanged since it was read.
//!
//! It is JSON: a version, the target, and the tags that would otherwise be on the target.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use rolling_provider::{Effect, ErrorKind, ProviderError, Tags};
use serde_json::{Value, json};

use super::config::S3Object;
use crate::error::{PRECONDITION_FAILED, from_sdk, is_denied};

/// Where a document names the bucket and the key.
const BUCKET: &str = "record/s3/bucket";
const KEY: &str = "record/s3/key";
/// The version of an object's format.
const VERSION: u64 = 1;
/// A record has at most a few thousand bytes; a larger object is no record.
const LARGEST: usize = 65_536;
/// Error code of S3 for an object that does not exist.
const NO_KEY: &str = "NoSuchKey";

pub(super) struct Store {
    pub client: aws_sdk_s3::Client,
    pub object: S3Object,
}

/// An object as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub tags: Tags,
    /// S3's identifier of this state; `None` where there is no object.
    pub etag: Option<String>,
}

impl Store {
    /// Returns the object as it is now. S3 reads what was written last:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel>.
    ///
    /// # Errors
    /// Those of S3, and one where the object does not hold the record of `target`.
    pub async fn read(&self, target: &str) -> Result<Stored, ProviderError> {
        let S3Object { bucket, key } = &self.object;
        let sent = self.client.get_object().bucket(bucket).key(key).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                let error = from_sdk("s3", "GetObject", &error);
                return if is_missing(&error) { Ok(Stored::default()) } else { Err(placed(error)) };
            }
        };
        let etag = answer.e_tag().map(str::to_owned);
        let tags = self.parse(&self.body(answer).await?, target)?;
        match etag {
            Some(_) => Ok(Stored { tags, etag }),
            None => Err(self.unreadable("S3 told no ETag of it")),
        }
    }

    async fn body(&self, answer: GetObjectOutput) -> Result<Vec<u8>, ProviderError> {
        let mut body = answer.body;
        let mut bytes = Vec::new();
        // Not every answer tells its length.
        while let Some(part) = body.try_next().await.map_err(|error| ProviderError {
            operation: "GetObject".into(),
            kind: ErrorKind::Transient,
            effect: Effect::NotApplied,
            code: None,
            message: error.to_string(),
            attribute: None,
            remedy: None,
        })? {
            bytes.extend_from_slice(&part);
            if bytes.len() > LARGEST {
                return Err(self.unreadable("it is too large for a record"));
            }
        }
        Ok(bytes)
    }

    /// Writes `tags` where the object is still as `last_read`. Returns its new state.
    ///
    /// # Errors
    /// Those of S3; [`ErrorKind::Transient`] with nothing applied where the object has changed.
    pub async fn write(
        &self,
        target: &str,
        tags: Tags,
        last_read: &Stored,
    ) -> Result<Stored, ProviderError> {
        let body = json!({ "version": VERSION, "target": target, "tags": tags }).to_string();
        let call = self.client.put_object().bucket(&self.object.bucket).key(&self.object.key);
        let call = call.content_type("application/json").body(ByteStream::from(body.into_bytes()));
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        let call = match &last_read.etag {
            Some(etag) => call.if_match(etag),
            None => call.if_none_match("*"),
        };
        let answer = call.send().await.map_err(|error| {
            let error = from_sdk("s3", "PutObject", &error);
            if is_missing(&error) { changed(error) } else { placed(error) }
        })?;
        Ok(Stored { tags, etag: answer.e_tag().map(str::to_owned) })
    }

    /// Deletes the object where it is still as `last_read`; a missing object is no error.
    ///
    /// # Errors
    /// Those of [`Store::write`].
    pub async fn delete(&self, last_read: &Stored) -> Result<(), ProviderError> {
        let Some(etag) = &last_read.etag else { return Ok(()) };
        let call = self.client.delete_object().bucket(&self.object.bucket).key(&self.object.key);
        // General purpose buckets honor the condition since September 2025:
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
        match call.if_match(etag).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = from_sdk("s3", "DeleteObject", &error);
                if is_missing(&error) { Ok(()) } else { Err(placed(error)) }
            }
        }
    }

    /// Returns what is not permitted on the object, tried with conditions that never hold.
    pub async fn examine(&self, target: &str) -> Vec<ProviderError> {
        let never = Stored { etag: Some("\"never\"".into()), ..Stored::default() };
        let last_read = match self.read(target).await {
            Ok(last_read) => last_read,
            Err(error) => return vec![error],
        };
        let mut found = Vec::new();
        if last_read.etag.is_none() {
            // If the store ignores the condition after all, there is nothing to delete.
            found.extend(self.delete(&never).await.err());
        }
        // For the same reason, this writes only what is there.
        match self.write(target, last_read.tags, &never).await {
            Err(error) if error.kind == ErrorKind::Transient => {}
            Err(error) => found.push(error),
            Ok(written) => {
                if last_read.etag.is_none() {
                    found.extend(self.delete(&written).await.err());
                }
                let message = format!("{} is written whatever If-Match says", self.name());
                let error = ProviderError::invalid("PutObject", "record/s3/bucket", message);
                found.push(error.with_remedy(
                    "use Amazon S3, or a store that has conditional writes: without them two \
                     engines could overlap",
                ));
            }
        }
        found
    }

    fn parse(&self, body: &[u8], target: &str) -> Result<Tags, ProviderError> {
        let read: Value = serde_json::from_slice(body)
            .map_err(|error| self.unreadable(&format!("it is not JSON: {error}")))?;
        let version = &read["version"];
        if version != VERSION {
            return Err(self.unreadable(&format!("its version is {version}, not {VERSION}")));
        }
        let Some(of) = read["target"].as_str() else {
            return Err(self.unreadable("it names no target"));
        };
        if of != target {
            let message = format!("{} holds the record of {of}", self.name());
            let error = ProviderError::invalid("read the record", KEY, message);
            return Err(error.with_remedy(
                "choose another key, one for each target; where that target is gone for good, \
                 delete the object",
            ));
        }
        let tags = read["tags"].as_object().and_then(|tags| {
            let text =
                |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            tags.iter().map(text).collect::<Option<Tags>>()
        });
        tags.ok_or_else(|| self.unreadable("its tags are not text"))
    }

    /// The error for an unreadable record: that may be all that remembers what is borrowed, so it
    /// never counts as absent.
    fn unreadable(&self, why: &str) -> ProviderError {
        let message = format!("{} holds no record that can be read: {why}", self.name());
        ProviderError::invalid("read the record", KEY, message).with_remedy(
            "finish the rollout with the version of rolling that began it, choose another key, or \
             delete the object once nothing is borrowed any more",
        )
    }

    pub fn name(&self) -> String {
        format!("s3://{}/{}", self.object.bucket, self.object.key)
    }
}

fn is_missing(error: &ProviderError) -> bool {
    error.code.as_deref() == Some(NO_KEY)
}

/// Turns the error of a write to a missing object into that of a write to a changed one.
fn changed(error: ProviderError) -> ProviderError {
    let code = Some(PRECONDITION_FAILED.to_owned());
    ProviderError { kind: ErrorKind::Transient, code, ..error }
}

/// Adds the place in the document to the error, where the bucket is at fault.
fn placed(error: ProviderError) -> ProviderError {
    let code = error.code.as_deref().unwrap_or_default();
    let remedy = match code {
        "NoSuchBucket" => Some("make the bucket first, or correct its name"),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
            Some("name a bucket in the provider's region")
        }
        _ if is_denied(&error) => None,
        _ => return error,
    };
    let error = match remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    };
    ProviderError { kind: ErrorKind::Invalid, attribute: Some(BUCKET.to_owned()), ..error }
}
