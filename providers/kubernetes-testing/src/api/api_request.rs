//! Requests and answers of the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::watch::Watch;
use crate::api_error::ApiError;
use crate::object_kind::ObjectKind;

/// A request.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The method of HTTP.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The parameters of the query.
    pub query: Vec<(String, String)>,
    /// The headers, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ApiRequest {
    /// Makes a request; `query` is as in a URL.
    pub fn new(
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        };
        let header = |(name, value): &(&str, &str)| (name.to_lowercase(), (*value).to_owned());
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs.map(pair).collect(),
            headers: headers.iter().map(header).collect(),
            body: body.to_vec(),
        }
    }

    /// Returns a parameter of the query, or the empty text.
    pub fn parameter(&self, key: &str) -> &str {
        let found = self.query.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    }

    /// Returns whether a parameter is `true` or `1`.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.parameter(key), "true" | "1" | "True")
    }

    /// Returns a header, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns whether nothing is to be kept.
    pub fn dry_run(&self) -> bool {
        self.query.iter().any(|(key, value)| key == "dryRun" && value == "All")
    }

    /// Returns who writes: the parameter `fieldManager`, or the program in `User-Agent`
    /// (`managerOrUserAgent`).
    pub fn field_manager(&self) -> &str {
        match self.parameter("fieldManager") {
            "" => match self.header("user-agent").split('/').next().unwrap_or_default() {
                "" => "unknown",
                agent => agent,
            },
            manager => manager,
        }
    }

    /// Returns the body as JSON; null where there is none.
    pub fn json(&self) -> Result<Value, ApiError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        // kubectl sends reviews of access so; the real server reads that, too.
        if self.header("content-type").contains("protobuf") {
            return Err(ApiError::unsupported_media_type());
        }
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| {
            ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
        })
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut remainder = text.bytes();
    while let Some(byte) = remainder.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: Vec<u8> = remainder.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'%'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a path of objects names.
#[derive(Clone, Debug)]
pub struct Route {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace, or none for all.
    pub namespace: Option<String>,
    /// The name; empty for the collection.
    pub name: String,
    /// The subresource, or the empty text.
    pub subresource: String,
}

impl Route {
    /// Reads a path.
    pub fn read(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, remainder) = match parts.as_slice() {
            ["api", version, remainder @ ..] => ("", *version, remainder),
            ["apis", group, version, remainder @ ..] => (*group, *version, remainder),
            _ => return None,
        };
        let (namespace, remainder) = match remainder {
            ["namespaces", namespace, remainder @ ..] if !remainder.is_empty() => {
                (Some(*namespace), remainder)
            }
            remainder => (None, remainder),
        };
        let (plural, name, subresource) = match remainder {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return None,
        };
        let kind = ObjectKind::of_path(group, version, plural)?;
        let info = kind.info();
        let known = subresource.is_empty() || info.subresources.contains(&subresource);
        let placed = namespace.is_some() == info.namespaced || (info.namespaced && name.is_empty());
        (known && placed).then(|| Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }

    /// Returns the verb of authorization.
    pub fn verb(&self, request: &ApiRequest) -> Option<&'static str> {
        let named = !self.name.is_empty();
        match request.method.as_str() {
            "GET" if request.flag("watch") => Some("watch"),
            "GET" if named => Some("get"),
            "GET" => Some("list"),
            "POST" if !named || self.subresource == "binding" => Some("create"),
            "PUT" if named => Some("update"),
            "PATCH" if named => Some("patch"),
            "DELETE" if named => Some("delete"),
            _ => None,
        }
    }
}

/// Whether and how an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// After a time.
    After(Duration),
    /// Never: the connection is closed.
    Dropped,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The status code of HTTP.
    pub status: u16,
    /// The headers, besides the content type.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
    /// Whether and how it arrives.
    pub delivery: Delivery,
    /// The watch that it begins, instead of a body.
    pub watch: Option<Watch>,
}

impl ApiResponse {
    /// An answer with an object.
    pub fn new(status: u16, body: Value) -> Self {
        let delivery = Delivery::After(Duration::ZERO);
        Self { status, headers: Vec::new(), body, delivery, watch: None }
    }

    /// A refusal.
    pub fn refused(error: &ApiError) -> Self {
        let mut answer = Self::new(error.code, error.status());
        if let Some(seconds) = error.details.get("retryAfterSeconds").and_then(Value::as_u64) {
            answer.headers.push(("retry-after".to_owned(), seconds.to_string()));
        }
        answer
    }

    /// `Success`, as for a deletion.
    pub fn success(kind: ObjectKind, name: &str, uid: &Value) -> Self {
        let info = kind.info();
        let mut details = json!({"name": name, "kind": info.plural, "uid": uid});
        if !info.group.is_empty() {
            details["group"] = info.group.into();
        }
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        Self::new(200, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_objects() {
        let read = |path| {
            Route::read(path)
                .map(|route| (route.kind, route.namespace, route.name, route.subresource))
        };
        let shop = Some("shop".to_owned());
        let named = (ObjectKind::Deployment, shop.clone(), "web".to_owned(), "status".to_owned());
        assert_eq!(read("/apis/apps/v1/namespaces/shop/deployments/web/status"), Some(named));
        assert_eq!(
            read("/api/v1/namespaces/shop/pods"),
            Some((ObjectKind::Pod, shop, String::new(), String::new()))
        );
        assert_eq!(read("/api/v1/pods").map(|found| found.0), Some(ObjectKind::Pod));
        assert_eq!(
            read("/api/v1/namespaces/shop").map(|found| found.0),
            Some(ObjectKind::Namespace)
        );
        for path in
            ["/api/v1/services", "/api/v1/namespaces/shop/nodes/a", "/api/v1/pods/web", "/version"]
        {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let request = ApiRequest::new(
            "GET",
            "/",
            "labelSelector=app%3Dweb%2Ctier&watch=1",
            &[("User-Agent", "kubectl/v1")],
            b"",
        );
        assert_eq!(request.parameter("labelSelector"), "app=web,tier");
        assert!(request.flag("watch"));
        assert_eq!(request.field_manager(), "kubectl");
    }
}
