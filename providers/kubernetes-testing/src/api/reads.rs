//! Reads: `get`, `list` and `watch`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::api_request::{ApiRequest, ApiResponse, Route};
use super::watch::{Selection, Watch};
use crate::api_error::ApiError;
use crate::cluster_state::ClusterState;
use crate::json_pointer::{at, int, text};
use crate::object_store::{Key, ObjectStore};
use crate::selector::labels_match;

/// Answers a read, as of a time where the door says so.
pub fn answer(
    state: &ClusterState,
    verb: &str,
    route: &Route,
    request: &ApiRequest,
    as_of: Option<Duration>,
) -> Result<ApiResponse, ApiError> {
    match verb {
        "get" => get(&state.store, route, as_of),
        "list" => list(&state.store, route, request, as_of),
        _ => watch(&state.store, route, request),
    }
}

fn get(
    store: &ObjectStore,
    route: &Route,
    as_of: Option<Duration>,
) -> Result<ApiResponse, ApiError> {
    let namespace = route.namespace.as_deref();
    let object = match as_of {
        None => store.get(&key(route)).map(Arc::clone),
        Some(time) => {
            let (then, _) = store.list_as_of(route.kind, namespace, time);
            then.into_iter().find(|object| text(object, "/metadata/name") == route.name)
        }
    };
    let object = object.ok_or_else(|| ApiError::not_found(route.kind, &route.name))?;
    let body = if route.subresource == "scale" { scale(&object) } else { (*object).clone() };
    Ok(ApiResponse::new(200, body))
}

/// Returns the key of a route.
pub fn key(route: &Route) -> Key {
    Key::new(route.kind, route.namespace.clone().unwrap_or_default(), route.name.clone())
}

/// Returns the subresource `scale` of an object (`ScaleFromDeployment`).
pub fn scale(object: &Value) -> Value {
    let metadata = |name: &str| at(object, &format!("/metadata/{name}")).clone();
    let labels = at(object, "/spec/selector/matchLabels").as_object();
    let pairs = labels.into_iter().flatten();
    let selector: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata("name"), "namespace": metadata("namespace"), "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"),
            "creationTimestamp": metadata("creationTimestamp"),
        },
        "spec": {"replicas": at(object, "/spec/replicas")},
        "status": {"replicas": int(object, "/status/replicas", 0), "selector": selector.join(",")},
    })
}

fn selection(route: &Route, request: &ApiRequest) -> Result<Selection, ApiError> {
    let labels = request.parameter("labelSelector").to_owned();
    labels_match(&labels, &Value::Null).map_err(ApiError::bad_request)?;
    let mut fields = request.parameter("fieldSelector").to_owned();
    // A watch of one object by its path.
    if !route.name.is_empty() {
        fields = format!("metadata.name={},{fields}", route.name);
    }
    Ok(Selection { kind: route.kind, namespace: route.namespace.clone(), labels, fields })
}

fn list(
    store: &ObjectStore,
    route: &Route,
    request: &ApiRequest,
    as_of: Option<Duration>,
) -> Result<ApiResponse, ApiError> {
    let selection = selection(route, request)?;
    let namespace = route.namespace.as_deref();
    let (mut version, mut skipped) = (store.version(), 0);
    // `continue` goes on in the list of that version, after so many.
    let next = request.parameter("continue");
    let objects = if let Some((from, count)) = next.split_once('.') {
        version = from.parse().map_err(|_| ApiError::bad_request("continue key is not valid"))?;
        skipped = count.parse().map_err(|_| ApiError::bad_request("continue key is not valid"))?;
        store.list_at_version(route.kind, namespace, version)
    } else if let Some(time) = as_of {
        let (objects, then) = store.list_as_of(route.kind, namespace, time);
        version = then;
        objects
    } else {
        store.list(route.kind, namespace)
    };
    let selected = objects.iter().filter(|object| selection.selects(object)).skip(skipped);
    let mut items: Vec<Value> = selected.map(|object| without_type(object)).collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    let limit: usize = request.parameter("limit").parse().unwrap_or(0);
    if limit > 0 && items.len() > limit {
        metadata["continue"] = format!("{version}.{}", skipped + limit).into();
        metadata["remainingItemCount"] = (items.len() - limit).into();
        items.truncate(limit);
    }
    let kind = route.kind;
    let body = json!({
        "kind": format!("{}List", kind.info().name), "apiVersion": kind.api_version(),
        "metadata": metadata, "items": items,
    });
    Ok(ApiResponse::new(200, body))
}

/// The items of a list have neither `kind` nor `apiVersion`.
fn without_type(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    object
}

fn watch(
    store: &ObjectStore,
    route: &Route,
    request: &ApiRequest,
) -> Result<ApiResponse, ApiError> {
    let selection = selection(route, request)?;
    let from = request.parameter("resourceVersion");
    let from = if from.is_empty() { Ok(0) } else { from.parse() };
    let from: u64 = from.map_err(|_| ApiError::bad_request("invalid resource version"))?;
    let bookmarks = request.flag("allowWatchBookmarks");
    let mut watch = Watch::begin(store, selection, from, bookmarks);
    if request.flag("sendInitialEvents") {
        watch = watch.with_initial_events();
    }
    watch.seconds = request.parameter("timeoutSeconds").parse().unwrap_or(0);
    let mut answer = ApiResponse::new(200, Value::Null);
    answer.watch = Some(watch);
    Ok(answer)
}
